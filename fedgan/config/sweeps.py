"""What can be seen of a sweep before its first run, after each of them, and after the last."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from math import ceil
from pathlib import Path
from statistics import median
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.utils import JobReturn
from hydra.errors import HydraException
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf, open_dict, read_write
from omegaconf.errors import OmegaConfBaseException

from fedgan.core.arguments import validated

PLANNED: dict[Path, int | None] = {}  # the folders of the sweep's runs that was checked last, and their rounds


def check_subdirs(config: DictConfig) -> None:
    """Refuse a sweep of which two runs would go into one folder, before the first of them is trained.

    Args:
        config: the sweep's, as Hydra's own sweeper gets it.

    Raises:
        ValueError: in one line.
    """
    first = dict[Path, int]()
    PLANNED.clear()
    try:
        jobs = jobs_of(config)
        for number, job in enumerate(jobs if len(jobs) > 1 else ()):
            with composed(config, job, number) as own:
                subdir = str(own.hydra.sweep.subdir)
                PLANNED[Path(own.hydra.runtime.output_dir)] = OmegaConf.select(own, "fl.rounds")
            other = first.setdefault(Path(subdir), number)
            if other != number:
                both = f"#{other} and #{number} would both go into {subdir!r}"
                raise ValueError(f"hydra.sweep.subdir must differ from run to run; {both}")
    except (HydraException, OmegaConfBaseException):
        return  # the sweeper meets it next, and says what it is


def wants_dry_run(config: DictConfig) -> bool:
    """Whether ``sweep.dry_run`` is set; a command without such a setting has no dry run.

    Raises:
        ValueError: in one line, if it is neither true nor false.
    """
    given = OmegaConf.select(config, "sweep.dry_run", default=False)
    return bool(validated("sweep.dry_run", bool, given))


def jobs_of(config: DictConfig) -> list[list[str]]:
    """The overrides of each run of a sweep by Hydra's own sweeper, in its order.

    Args:
        config: the sweep's, as Hydra's own sweeper gets it.
    """
    loader = GlobalHydra.instance().config_loader()
    params = [f"{key}={value}" for key, value in (OmegaConf.select(config, "hydra.sweeper.params") or {}).items()]
    typed = [*params, *(str(text) for text in config.hydra.overrides.task)]
    overrides = OverridesParser.create(config_loader=loader).parse_overrides(typed)
    return [job for batch in BasicSweeper.split_arguments(overrides, max_batch_size=None) for job in batch]


@contextmanager
def composed(config: DictConfig, job: Sequence[str], number: int) -> Iterator[DictConfig]:
    """One run's configuration with Hydra's part, which is at work meanwhile; composing takes about 0.1 s.

    Args:
        config: the sweep's.
        job: the run's overrides.
        number: of the run.
    """
    before = HydraConfig.instance().cfg
    own = GlobalHydra.instance().config_loader().load_sweep_config(config, list(job))
    with open_dict(own):
        own.hydra.job.id = own.hydra.job.num = number
    HydraConfig.instance().set_config(own)
    try:
        folder = Path(str(own.hydra.sweep.dir)) / str(own.hydra.sweep.subdir)
        with read_write(own.hydra.runtime), open_dict(own.hydra.runtime):
            own.hydra.runtime.output_dir = str(folder.absolute())
        HydraConfig.instance().set_config(own)
        yield own
    finally:
        HydraConfig.instance().cfg = before


class SweepTable(Callback):
    """At a sweep's end: its runs as one table; see ``fedgan.config.sweep_table``."""

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        """After the last run."""
        from fedgan.config.sweep_table import at_end  # here: no command waits for pandas before its settings are read

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
        self.at_once = runs_at_once(config)

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


def runs_at_once(config: DictConfig) -> int | None:
    """How many runs of a sweep are at work at the same time; None where that is the launcher's affair alone."""
    launcher = config.hydra.launcher
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
