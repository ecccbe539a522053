"""What control runs say of the losses of honest clients: a JSON file between ``fedgan.calibrate`` and a detector."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from math import log
from pathlib import Path
from statistics import variance
from typing import Any, Literal

from fedgan.core.arguments import Count, NonNegative, Positive, checked
from fedgan.core.files import write_json

FORMAT = 1
WRITER = "fedgan.calibrate"
Scale = Literal["log", "linear"]
LossName = Literal["loss_g", "loss_d", "loss_g_last", "loss_g_final", "loss_g_arrival"]


@checked
@dataclass(frozen=True, kw_only=True)
class Calibration:
    """How far apart honest clients' losses are in one round, measured where nobody attacks.

    Attributes:
        spread: the largest of the runs' standard deviations within a round; what a detector is set to.
        rms: their root mean square, which understates what the next federation may do.
        loss: the loss that was read, by its name in clients.csv.
        scale: log: of the loss's logarithm; linear: of the loss itself, where it may be negative.
        warmup: first rounds that were left out.
        num_clients: of each federation.
        seeds: of the runs.
        runs: each run's folder and its own spread.
        settings: for which this holds, by their full names: data set, partition, federation, model, defense.
    """

    spread: Positive
    rms: Positive
    loss: LossName
    scale: Scale
    warmup: NonNegative
    num_clients: Count
    seeds: Sequence[NonNegative]
    runs: Mapping[str, Any]
    settings: Mapping[str, Any]

    @classmethod
    def from_plain(cls, content: object) -> "Calibration":
        """From what a file's JSON says.

        Raises:
            ValueError: in one line, if it is no calibration of this format.
        """
        if not isinstance(content, dict) or content.get("written by") != WRITER:
            raise ValueError(f"it was not written by {WRITER}")
        if content.get("format") != FORMAT:
            raise ValueError(f"its format is {content.get('format')}, and this version reads {FORMAT}")
        return cls(**{name: value for name, value in content.items() if name not in ("written by", "format")})

    def write(self, file: Path) -> None:
        """Write it, whole or not at all."""
        write_json(file, {"written by": WRITER, "format": FORMAT, **asdict(self)})


def round_variance(losses: Sequence[float], logs: bool) -> float:
    """The variance between clients of one round's losses, or of their logarithms, over N - 1.

    Example:
        >>> round_variance([1.0, 2.0, 3.0], logs=False)
        1.0
    """
    return variance([log(loss) for loss in losses] if logs else losses)


def read_calibration(setting: str, file: Path) -> Calibration:
    """A calibration from its file; nothing in it is executed.

    Args:
        setting: what errors call the file.
        file: as ``Calibration.write`` left it.

    Raises:
        ValueError: in one line, if it cannot be read or is no calibration.
    """
    try:
        return Calibration.from_plain(json.loads(file.read_text()))
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise ValueError(
            f"{setting} must be a file that python -m {WRITER} has written; got {str(file)!r} ({why})"
        ) from error


def is_calibration(file: Path) -> bool:
    """Whether a calibration, of this or of another format, has left this file."""
    try:
        content = json.loads(file.read_text()) if file.is_file() else None
    except (OSError, ValueError):
        return False
    return isinstance(content, dict) and content.get("written by") == WRITER
