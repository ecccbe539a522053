"""A run's folder, opened for reading: tables as pandas frames, records as dicts, the generator, images from it."""

import json
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
import yaml
from annotated_types import Predicate

from fedgan.core.arguments import Allowed, also, validated
from fedgan.core.images import ImageSet
from fedgan.core.words import reason_of
from fedgan.models.base import Generator
from fedgan.runs.export import Release, load_generator
from fedgan.scoring.grid_files import grid_files
from fedgan.scoring.sampling import draw_set

RECORD = "run.json"


def run_folders(folder: Path) -> Iterator[Path]:
    """The folders of runs in a folder, sorted: itself, or those below. None is in another; links are not followed."""
    if _has_record(folder):
        yield folder
        return
    for inner in sorted(folder.iterdir()):
        if inner.is_dir() and not inner.is_symlink() and inner.name[0] != ".":
            yield from run_folders(inner)


def _has_record(folder: Path) -> bool:
    return (folder / RECORD).is_file()


def _has_runs(folder: Path) -> bool:
    return any(True for _ in run_folders(folder))


RunFolder = Annotated[Path, Predicate(_has_record), Allowed(f"a run's folder, with {RECORD} in it")]
_WithRuns = Annotated[Path, Predicate(_has_runs), Allowed(f"folders with a run in them (with {RECORD})")]
# Each of several paths.
SearchedFolder = Annotated[
    Path, Predicate(Path.is_dir), Allowed("folders of runs or sweeps that exist"), also(_WithRuns)
]


class Run:
    """One run. Nothing is read before it is wanted, and nothing in the folder is executed.

    Args:
        folder: the run's folder; its run may be finished, stopped or still going.
        trust: packages besides fedgan whose classes the run may name; see ``fedgan.runs.allowlist``.

    Attributes:
        folder: see above.

    Raises:
        ValueError: in one line, if the folder is no run's, or a file in it is damaged.
    """

    def __init__(self, folder: Path, trust: Sequence[str] = ()) -> None:
        self.folder, self.trust = validated("run", RunFolder, folder), tuple(trust)

    def __repr__(self) -> str:
        """Such as ``<Run outputs/train/2026-01-31_12-00-00: finished>``."""
        return f"<Run {self.folder}: {self.status}>"

    @property
    def status(self) -> str:
        """``running``, ``interrupted``, ``failed`` or ``finished``."""
        return str(self.record.get("status"))

    @cached_property
    def record(self) -> dict[str, Any]:
        """run.json: status, versions, data set, partition, who is malicious, poison reports, seconds."""
        return self._json(RECORD)

    @cached_property
    def summary(self) -> dict[str, Any]:
        """summary.json: final metrics and their facts, weights, flags; empty before the run is finished.

        A run that was finished and is being extended has a summary of its former end: it counts no more.
        """
        there = self.status == "finished" and (self.folder / "summary.json").is_file()
        return self._json("summary.json") if there else {}

    @cached_property
    def evaluation(self) -> dict[str, Any]:
        """evaluation.json, which ``fedgan.evaluate`` has left; empty where there is none."""
        return self._json("evaluation.json") if (self.folder / "evaluation.json").is_file() else {}

    @property
    def rescored(self) -> dict[str, Any]:
        """``evaluation``, if it is about the generator that the run has now; of an earlier one, empty."""
        now, scored = (each.get("generator_sha256") for each in (self.summary, self.evaluation))
        return self.evaluation if scored == now else {}

    @cached_property
    def settings(self) -> dict[str, Any]:
        """config.yaml: every setting, resolved."""
        try:
            return dict(yaml.safe_load((self.folder / "config.yaml").read_text()))
        except (OSError, ValueError, TypeError, yaml.YAMLError) as error:
            raise ValueError(f"run: cannot read {self.folder / 'config.yaml'}: {reason_of(error)}") from error

    @cached_property
    def rounds(self) -> pd.DataFrame:
        """rounds.csv: one row per round; metrics in the rounds in which the generator was evaluated."""
        return self._table("rounds.csv")

    @cached_property
    def clients(self) -> pd.DataFrame:
        """clients.csv: one row per client and round."""
        return self._table("clients.csv")

    @cached_property
    def receipts(self) -> pd.DataFrame:
        """receipts.csv: what attacks on updates and defenses did, one row per round and measure."""
        return self._table("receipts.csv")

    @cached_property
    def events(self) -> pd.DataFrame:
        """events.csv: one row per fault."""
        return self._table("events.csv")

    @cached_property
    def timing(self) -> pd.DataFrame:
        """timing.csv: one row per round, in seconds and images per second."""
        return self._table("timing.csv")

    @cached_property
    def release(self) -> Release:
        """The released generator, how to build it, and its hash; there is one when the run is finished."""
        return load_generator(self.folder, self.trust)

    @property
    def generator(self) -> Generator:
        """The released generator, on the CPU, in evaluation mode."""
        return self.release.generator

    def draw(self, per_class: int = 8, seed: int = 1) -> ImageSet:
        """Synthetic images of every class: uint8, (N, C, H, W), class by class; the same for the same seed."""
        return draw_set(self.generator, self.release.spec.classes, per_class, seed)

    def grids(self) -> dict[int, Path]:
        """The sample grids in the run's folder by their rounds; all show the same latents."""
        return grid_files(self.folder / "samples")

    def _json(self, name: str) -> dict[str, Any]:
        try:
            return dict(json.loads((self.folder / name).read_text()))
        except (OSError, ValueError, TypeError) as error:
            raise ValueError(f"run: cannot read {self.folder / name}: {reason_of(error)}") from error

    def _table(self, name: str) -> pd.DataFrame:
        try:
            return pd.read_csv(self.folder / name)
        except (OSError, ValueError) as error:
            raise ValueError(f"run: cannot read {self.folder / name}: {reason_of(error)}") from error


def find_runs(folders: Iterable[Path], trust: Sequence[str] = ()) -> list[Run]:
    """The runs in folders: a run's own, a sweep's, a study's, or any that has such folders in it; sorted, each once.

    Raises:
        ValueError: in one line, if a folder is not there or there is no run in it.
    """
    found: dict[Path, Run] = {}
    for folder in folders:
        validated("paths", SearchedFolder, folder)
        found |= {path.resolve(): Run(path, trust) for path in run_folders(folder)}
    return list(found.values())
