"""Checkpoints that are whole or not there, and that execute nothing when they are read."""

import re
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning.plugins.io import TorchCheckpointIO

from fedgan.checks import check
from fedgan.files import atomic_write

FOLDER = "checkpoints"


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes to a temporary file, flushes it to the disk and renames it; reads tensors and plain values only."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Write ``checkpoint`` whole, or leave what was there.

        Raises:
            OSError: if the disk is full or cannot be written to.
        """
        file = Path(path)
        file.parent.mkdir(parents=True, exist_ok=True)
        try:
            atomic_write(file, lambda temporary: torch.save(checkpoint, temporary))
        except RuntimeError as error:  # torch's way to say that a write fell short
            raise OSError(f"cannot write {file}: {error}") from error

    def load_checkpoint(self, path: Any, map_location: Any = "cpu", weights_only: bool | None = None) -> dict[str, Any]:
        """Read a checkpoint, whatever it holds, without executing any of it.

        Raises:
            ValueError: in one line, if it is damaged or wants to execute something.
        """
        return read_checkpoint(Path(path))


def read_checkpoint(path: Path) -> dict[str, Any]:
    """The content of a checkpoint on the CPU; only tensors and plain values are accepted.

    Raises:
        ValueError: in one line, if it is damaged or wants to execute something.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever a damaged file leads to: there is no list of it
        reason = str(error).strip().splitlines()[:1]
        raise ValueError(f"resume: {path} is damaged or no checkpoint of fedgan ({' '.join(reason)})") from error
    check(isinstance(content, dict), f"resume: {path}", "a checkpoint of fedgan", type(content).__name__)
    return dict(content)


def latest_checkpoint(folder: Path) -> Path | None:
    """The newest checkpoint of a run's folder; None where there is none.

    Example:
        >>> latest_checkpoint(Path("nowhere")) is None
        True
    """
    return max((folder / FOLDER).glob("round_*.ckpt"), key=rounds_done, default=None)


def rounds_done(checkpoint: Path) -> int:
    """After how many rounds it was written, by its name.

    Example:
        >>> rounds_done(Path("round_0004.ckpt"))  # rounds count from 0
        5
    """
    number = re.match(r"round_(\d+)", checkpoint.name)
    return int(number[1]) + 1 if number else 0
