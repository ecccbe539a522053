"""What can be seen of a sweep after each of its runs, and after the last."""

import sys
from collections.abc import Sequence
from math import ceil
from pathlib import Path
from statistics import median
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobReturn
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig

from fedgan.config.sweeps.plan import PLANNED


class SweepTable(Callback):
    """At a sweep's end: its runs as one table; see ``fedgan.config.sweeps.table``."""

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        """After the last run."""
        from fedgan.config.sweeps.table import at_end  # here: no command waits for pandas before its settings are read

        at_end(Path(str(config.hydra.sweep.dir)))


class SweepProgress(Callback):
    """After each run of a sweep: how many are done, and the time left.

    Hydra's joblib launcher gives each worker's run a copy of this object, which cannot know of the refused runs of
    other workers: there it counts the runs that have finished, by their folders. By a cluster's launcher or an
    optimizer nothing is said: how many runs are at work, or will be, is not known.
    """

    def __init__(self) -> None:
        self.planned: dict[Path, int | None] = {}
        self.ended: set[Path] = set()
        self.at_once: int | None = None

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Before the first run, after its folders were checked."""
        self.planned = dict(PLANNED)
        PLANNED.clear()
        self.at_once = runs_at_once(config.hydra.launcher)

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **kwargs: Any) -> None:
        """After a run, also one that was refused."""
        if len(self.planned) < 2 or self.at_once is None:
            return
        self.ended.add(Path(str(config.hydra.runtime.output_dir)))
        seconds = self._seconds()
        done = len(seconds if self.at_once > 1 else self.ended | seconds.keys())
        print(progress_line(done, len(self.planned), list(seconds.values()), self.at_once), file=sys.stderr)

    def _seconds(self) -> dict[Path, float]:
        """What each run took that has all its rounds."""
        from fedgan.runs.folder import record_of  # here: no command waits for torch before its settings are read

        records = {folder: record_of(folder) for folder in self.planned}
        return {
            folder: float(record["seconds"])
            for folder, record in records.items()
            if record.get("status") == "finished" and record.get("rounds") == self.planned[folder]
        }


def label_of(folder: Path) -> str:
    """What begins a run's lines on the screen: its folder's name where several runs of a sweep print to one screen."""
    if not HydraConfig.initialized() or HydraConfig.get().mode != RunMode.MULTIRUN:
        return ""
    return f"{folder.name}  " if (runs_at_once(HydraConfig.get().launcher) or 1) > 1 else ""


def runs_at_once(launcher: DictConfig) -> int | None:
    """How many runs of a sweep are at work at the same time; None where that is the launcher's affair alone."""
    name = str(launcher["_target_"]).rpartition(".")[2]
    if name == "BasicLauncher":
        return 1
    if name != "JoblibLauncher":
        return None
    from joblib import effective_n_jobs

    return int(effective_n_jobs(launcher.n_jobs))


def progress_line(done: int, planned: int, seconds: Sequence[float], at_once: int) -> str:
    """How many runs are done, and the time left: the median run's, for each that is left.

    Args:
        done: runs that have ended; with several at once those that finished.
        planned: all runs.
        seconds: that each finished run took.
        at_once: how many runs are at work at the same time.

    Example:
        >>> progress_line(3, 12, [90, 94, 300], 1), progress_line(3, 12, [90, 94, 300], 2)
        ('3 of 12 runs done, about 14 min left', '3 of 12 runs finished, about 8 min left')
    """
    said = f"{done} of {planned} runs {'done' if at_once == 1 else 'finished'}"
    left = ceil((planned - done) / at_once)
    return f"{said}, about {_duration(left * median(seconds))} left" if left and seconds else said


def _duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    if seconds < 100:
        return f"{max(1, round(seconds))} s"
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"
