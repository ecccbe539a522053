"""What loggers get of a round: its curves, its pictures and, at the end, who was flagged; all at one step."""

import csv
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.loggers import MLFlowLogger, TensorBoardLogger

from fedgan.federated.federation import Federation
from fedgan.runs.record import Recorder, Row
from fedgan.runs.scores import COMPONENT, SCORE

SAMPLES, DETECTION = "samples", "detection"
DETECTION_COLUMNS = ["round", "client", "malicious", "flagged", "weight"]
MOST_CLIENTS = 16  # whose scores are curves of their own; of more, the highest score is one curve


@dataclass(frozen=True)
class Entry:
    """What loggers get of one round.

    Attributes:
        round: t, the step of all of it.
        scalars: by the name of their curve.
        images: files of pictures by key: the round's sample grid and the maps of its defenses; none in a round without
            evaluation.
        detection: one row (``DETECTION_COLUMNS``) per client and round so far; None before the last round.
    """

    round: int
    scalars: Mapping[str, float]
    images: Mapping[str, Path] = field(default_factory=dict)
    detection: Sequence[Sequence[Any]] | None = None


class RoundLogger(Callback):
    """Sends every round to the loggers, once the recorder has written it; a logger that fails does not end the run.

    Args:
        recorder: whose rows are sent, and whose evaluator drew the grids.
    """

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """A round is over."""
        assert isinstance(pl_module, Federation)
        if not trainer.loggers:
            return
        with pl_module.profiler.profile("record"):
            last = trainer.current_epoch + 1 == trainer.max_epochs
            entry = self.entry(pl_module.round, last=last)
            failed = [logger for logger in trainer.loggers if not attempted(logger, lambda it: send(it, entry))]
            for logger in failed:
                attempted(logger, lambda it: close(it, exit_code=1), quiet=True)
            trainer.loggers = [logger for logger in trainer.loggers if logger not in failed]

    def entry(self, round_: int, *, last: bool) -> Entry:
        """What loggers get of the round that was recorded last."""
        recorder, rows = self.recorder, self.recorder.rows
        curves = scalars(
            rows["rounds.csv"][0],
            rows["timing.csv"][0],
            rows["clients.csv"],
            rows["receipts.csv"],
            (*recorder.losses, "weight", "flagged"),
        )
        evaluator = recorder.evaluator
        grid = {SAMPLES: evaluator.grid_of(round_)} if evaluator.round_evaluated == round_ else {}
        return Entry(
            round_, curves, grid | recorder.shown, detection_rows(recorder.folder / "clients.csv") if last else None
        )


def scalars(
    round_row: Row, timing_row: Row, client_rows: Sequence[Row], receipt_rows: Sequence[Row], names: Sequence[str]
) -> dict[str, float]:
    """One round's curves, each value under one name: its column's in rounds.csv, behind what it is a property of.

    Args:
        round_row: of rounds.csv; its columns are curves as they are.
        timing_row: of timing.csv: ``timing/*``.
        client_rows: of clients.csv: ``client_<id>/*``, of these
        names: columns.
        receipt_rows: of receipts.csv: ``defense.<name>/*``, ``client_<id>/update_attack.*`` and defenses' scores of
            clients (``*_score``), ``client_<id>/defense.<name>.*``; of more than ``MOST_CLIENTS`` clients the highest
            one, ``defense.<name>/highest_*``. What else defenses say of clients is no curve.

    Example:
        >>> receipts = [{"round": 0, "component": "defense.median", "client": None, "measure": "acted", "value": 1.0}]
        >>> client = {"round": 0, "client": 3, "loss_g": 0.5, "weight": None}
        >>> scalars({"round": 0, "loss_g": 0.5}, {"round": 0, "seconds": 2}, [client], receipts, ("loss_g", "weight"))
        {'loss_g': 0.5, 'timing/seconds': 2.0, 'client_3/loss_g': 0.5, 'defense.median/acted': 1.0}
    """
    found = dict(round_row) | {f"timing/{name}": value for name, value in timing_row.items()}
    for row in client_rows:
        found |= {f"client_{row['client']}/{name}": row[name] for name in names}
    for row in receipt_rows:
        component, client, measure = row["component"], row["client"], row["measure"]
        if client is None:
            found[f"{component}/{measure}"] = row["value"]
        elif not component.startswith(COMPONENT):
            found[f"client_{client}/{component}.{measure}"] = row["value"]
    found |= _scores([row for row in receipt_rows if _is_score(row)])
    left_out = ("round", "timing/round")  # the step
    return {name: float(value) for name, value in found.items() if value is not None and name not in left_out}


def _is_score(row: Row) -> bool:
    scored = row["component"].startswith(COMPONENT) and row["measure"].endswith(SCORE)
    return scored and row["client"] is not None


def _scores(rows: Sequence[Row]) -> dict[str, float]:
    """The curves of defenses' scores of clients."""
    if len({row["client"] for row in rows}) <= MOST_CLIENTS:
        return {f"client_{row['client']}/{row['component']}.{row['measure']}": row["value"] for row in rows}
    highest: dict[str, float] = {}
    for row in rows:
        name = f"{row['component']}/highest_{row['measure']}"
        highest[name] = max(row["value"], highest.get(name, row["value"]))
    return highest


def detection_rows(clients: Path) -> list[list[Any]]:
    """Who was flagged, from clients.csv, which has the rounds before a run was resumed too."""
    with clients.open(newline="") as file:
        return [
            [
                int(row["round"]),
                int(row["client"]),
                row["malicious"] == "1",
                row["flagged"] == "1",
                float(row["weight"]) if row["weight"] else None,
            ]
            for row in csv.DictReader(file)
        ]


def attempted(logger: Any, step: Callable[[Any], object], *, quiet: bool = False) -> bool:
    """Whether a logger took a step; one that did not is named on stderr, unless ``quiet``, and the run continues."""
    try:
        step(logger)
    except Exception as error:  # each library has its own kinds
        reason = " ".join(str(error).split())[:200]
        if not quiet:
            print(f"warning: {type(logger).__name__} fails ({reason}); the run continues without it", file=sys.stderr)
        return False
    return True


def close(logger: Any, *, exit_code: int) -> None:
    """End a logger's run."""
    run = getattr(logger, "experiment", None)
    if run is not None and hasattr(run, "finish"):
        run.finish(exit_code=exit_code)


def send(logger: Any, entry: Entry) -> None:
    """All of a round, at one step."""
    for key, file in entry.images.items():
        send_image(logger, key, file, entry.round)
    if entry.detection is not None and hasattr(logger, "log_table"):
        rows = [list(row) for row in entry.detection]
        logger.log_table(DETECTION, columns=DETECTION_COLUMNS, data=rows, step=entry.round)
    logger.log_metrics(dict(entry.scalars), step=entry.round)
    logger.save()


def send_image(logger: Any, key: str, file: Path, step: int) -> None:
    """An image to a logger of Lightning's, or to any that has Lightning's ``log_image``; others take none.

    Args:
        logger: where to.
        key: the image's name.
        file: PNG.
        step: the round.
    """
    if isinstance(logger, TensorBoardLogger):
        logger.experiment.add_image(key, pixels(file), step, dataformats="HWC")
    elif isinstance(logger, MLFlowLogger):
        logger.experiment.log_image(logger.run_id, pixels(file), key=key, step=step)
    elif hasattr(logger, "log_image"):
        logger.log_image(key, [str(file)], step=step)


def pixels(file: Path) -> np.ndarray[Any, Any]:
    """An image file as uint8, (H, W, 3)."""
    with Image.open(file) as image:
        return np.asarray(image.convert("RGB"))
