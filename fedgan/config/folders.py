"""Hydra's folders, by name, before and after: what cannot be one is refused, and no refused run leaves an empty one."""

import hashlib
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import yaml
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from fedgan.config.places import AUTO
from fedgan.config.refusals import explain
from fedgan.config.screen import quieten
from fedgan.config.sweeps.plan import check_subdirs, wants_dry_run
from fedgan.core.folders import check_makeable, missing_parts, named_folder, remove_empty

T = TypeVar("T")
LONGEST_NAME = 160  # of a folder; file systems stop at 255
# What Hydra's sweepers write into a sweep's folder, over what is there; and a key that their files have.
SWEEPERS_FILES = {"multirun.yaml": "hydra", "optimization_results.yaml": "name"}
MADE: list[Path] = []  # folders that were not there before Hydra made them, innermost first


class OutputFolders(Callback):
    """Hydra's folders, before and after: what cannot be one is refused, and no refused run leaves an empty one.

    Args:
        sweeps: whether the command takes -m.
    """

    def __init__(self, sweeps: bool = True) -> None:
        self.sweeps = sweeps

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Before Hydra makes a run's folder."""
        _check_subdir(config)
        if _or_exit("sweep.dry_run", lambda: wants_dry_run(config)):
            sys.exit("error: sweep.dry_run must be false without -m, which starts a sweep; got true")
        resumes = config.get("resume") not in (None, AUTO)
        if resumes and any(typed.startswith("hydra.run.dir=") for typed in config.hydra.overrides.hydra):
            allowed = "left away with resume=, whose folder is the run's"
            sys.exit(f"error: hydra.run.dir must be {allowed}; got {str(config.hydra.run.dir)!r}")
        setting = "resume" if resumes else "hydra.run.dir"
        _make(setting, _checked("hydra.run.dir", config, setting))

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Before Hydra makes a sweep's folder."""
        if not self.sweeps:
            sys.exit(f"error: {config.hydra.help.app_name} takes no -m: start it once for each set of settings")
        _check_subdir(config)
        self._sweep = _checked("hydra.sweep.dir", config)
        self._before = set(self._sweep.iterdir()) if self._sweep.is_dir() else set()
        for name, mark in SWEEPERS_FILES.items():  # the runs' own folders are checked by the runs
            if (self._sweep / name).exists() and not _has_key(self._sweep / name, mark):
                sys.exit(f"error: hydra.sweep.dir must be a folder without another's {name}; got {str(self._sweep)!r}")
        optimizes = not str(config.hydra.sweeper["_target_"]).endswith("BasicSweeper")
        if optimizes and "objective" in config and config.objective is None:
            allowed = "the metric that hydra/sweeper is to optimize (frechet_classifier, say)"
            sys.exit(f"error: objective must be {allowed}; got null")
        dry = _or_exit("sweep.dry_run", lambda: wants_dry_run(config))
        if dry and optimizes:
            sys.exit("error: sweep.dry_run must be false with an optimizer, whose runs are not known before; got true")
        if not optimizes:
            _or_exit("hydra.sweep.subdir", lambda: check_subdirs(config))
        if dry:
            from fedgan.config.sweeps.dry_run import dry_run  # here: it waits for torch

            quieten()
            sys.exit(_or_exit("sweep.dry_run", lambda: dry_run(config)))
        _make("hydra.sweep.dir", self._sweep)

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        """After the last run."""
        remove_empty(each for each in sorted(self._sweep.iterdir()) if each not in self._before)


def forget_sweep() -> None:
    """Remove what Hydra has written for a sweep that is refused as a whole, from folders that are new."""
    for folder in MADE:
        if folder.is_dir() and {each.name for each in folder.iterdir()} == {"multirun.yaml"}:
            (folder / "multirun.yaml").unlink()


def _check_subdir(config: DictConfig) -> None:
    """Hydra writes its records there over what is there; a run of ours keeps them in .hydra by itself."""
    if (subdir := OmegaConf.select(config, "hydra.output_subdir")) is not None:
        sys.exit(f"error: hydra.output_subdir must be null (a run's folder has .hydra all the same); got {subdir!r}")


def _has_key(file: Path, key: str) -> bool:
    try:
        content = OmegaConf.load(file)
    except (OSError, ValueError, yaml.YAMLError):
        return False
    return isinstance(content, DictConfig) and key in content


def _checked(key: str, config: DictConfig, setting: str | None = None) -> Path:
    """The folder that ``key`` says; ``setting``: what errors call it, if not that."""
    said = setting or key

    def makeable() -> Path:
        folder = named_folder(said, OmegaConf.select(config, key))
        if folder != Path():  # the current folder, where commands are at home that write elsewhere
            check_makeable(said, folder)
        return folder

    return _or_exit(said, makeable)


def _make(setting: str, folder: Path) -> None:
    """Make the folder before Hydra does, which would not say what it is for."""

    def make() -> None:
        MADE.extend(missing_parts(folder.absolute()))
        folder.mkdir(parents=True, exist_ok=True)

    _or_exit(setting, make)


def _or_exit(setting: str, step: Callable[[], T]) -> T:
    """The step's result; its refusal ends the command, since Hydra makes warnings of what a callback raises."""
    try:
        return step()
    except OSError as error:
        sys.exit(f"error: {setting}: {error.strerror}: {str(error.filename)!r}")
    except (ValueError, OmegaConfBaseException) as refusal:
        sys.exit(f"error: {explain(refusal)}")


def folder_name(overrides: str) -> str:
    """A folder's name for a set of overrides in a multirun, readable, and typed without quotes.

    Example:
        >>> folder_name("attack.size-4+defense-none")
        'attack.size-4+defense-none'
        >>> folder_name("dataset.root-/data/x-rays")
        'dataset.root-_data_x-rays_cb1a0325'
        >>> folder_name("++defense.feddetect.warmup-1")
        'defense.feddetect.warmup-1'
    """
    plain = re.sub(r"(^|\+)\++", r"\1", overrides)
    readable = re.sub(r"[^\w.+-]+", "_", plain)
    if readable == plain and len(readable) <= LONGEST_NAME:
        return readable or "default"
    # What was cut or replaced may be all that tells two runs apart.
    digest = hashlib.sha256(overrides.encode()).hexdigest()[:8]
    return f"{readable[:LONGEST_NAME]}_{digest}"


def run_folder(resume: str | None, new: str) -> str:
    """Where a run happens: the folder of the one that is resumed, if there is one to be found, or else a new one."""
    folder = Path(str(resume)).expanduser()
    return str(folder) if resume and (folder / "config.yaml").is_file() else new


OmegaConf.register_new_resolver("folder_name", folder_name, replace=True)
OmegaConf.register_new_resolver("run_folder", run_folder, replace=True)
