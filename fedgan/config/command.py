"""The commands' common door: Hydra reads the configuration, and every refusal is one line.

With ``refusals``, ``choices``, ``build`` and ``resume`` the only place besides the commands that knows Hydra.
"""

import functools
import hashlib
import logging
import os
import re
import sys
import warnings
from argparse import Namespace
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from multiprocessing import current_process
from pathlib import Path
from typing import Any, TypeVar

import hydra
import yaml
from hydra._internal.utils import get_args_parser
from hydra.core.hydra_config import HydraConfig
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from fedgan.config.choices import fit_choices, parsed
from fedgan.config.help.text import help_text
from fedgan.config.refusals import CONF, PLACES, REFUSALS, explain, not_to_be_removed, options
from fedgan.config.sweeps.plan import check_subdirs, wants_dry_run
from fedgan.core.folders import check_makeable, missing_parts, named_folder, remove_empty
from fedgan.core.words import counted

T = TypeVar("T")
INTERRUPTED = 130  # the exit code of a command that a signal stopped
AUTO = "auto"  # resume=auto: resume the run in the command's own folder, or begin it
LONGEST_NAME = 160  # of a folder; file systems stop at 255
# What Hydra's sweepers write into a sweep's folder, over what is there; and a key that their files have.
SWEEPERS_FILES = {"multirun.yaml": "hydra", "optimization_results.yaml": "name"}
# Settings that name files or folders, in the order in which one of two that name the same counts.
NAMING_PLACES = ("resume", "run", "control", "out", "root", *PLACES, "dataset.labels", "dataset.cache_dir")
_PATHS = "|".join(map(re.escape, (*NAMING_PLACES, "hydra.run.dir", "hydra.sweep.dir")))
_NUMBERED = re.compile(rf"^((?:{_PATHS})=)([-+]?[0-9.][0-9_.eE+-]*)$")
REFUSED: set[int] = set()  # the numbers of a sweep's refused runs
MADE: list[Path] = []  # folders that were not there before Hydra made them, innermost first


class Interrupted(Exception):
    """Raised by a command that a signal stopped and that can be resumed; its message says how."""


def command(config_name: str, free: Collection[str] = ()) -> Callable[[Callable[[DictConfig], Any]], Callable[[], Any]]:
    """Make a command of a task that takes the composed configuration from ``conf/<config_name>.yaml``.

    Args:
        config_name: of a file in conf/.
        free: settings in which any name may be given, such as the arms of a study.
    """

    def decorate(task: Callable[[DictConfig], Any]) -> Callable[[], Any]:
        def main() -> Any:
            wanted = os.environ.get("HYDRA_FULL_ERROR", "0")
            refused = REFUSALS if wanted in ("", "0") else ()
            REFUSED.clear()
            MADE.clear()

            @functools.wraps(task)
            def guarded(cfg: DictConfig) -> Any:  # in a sweep perhaps by a worker, which knows nothing of this process
                os.environ["HYDRA_FULL_ERROR"] = wanted  # for what the task itself starts
                quieten()
                return carry_out(task, cfg, free, refused)

            # So that Hydra hands its errors on to the one place that words them.
            os.environ["HYDRA_FULL_ERROR"] = "1"
            try:
                flags = check_flags(sys.argv[1:])
                if flags.help:
                    return print(help_text(config_name, flags.overrides))
                with without_repeated(sys.argv), named_by_what_varies(sys.argv), paths_as_typed(sys.argv):
                    result = hydra.main(version_base="1.3", config_path=str(CONF), config_name=config_name)(guarded)()
            except refused as error:
                forget_sweep()
                sys.exit(f"error: {explain(error, config_name)}")
            except KeyboardInterrupt:
                sys.exit(INTERRUPTED)
            finally:
                remove_empty(MADE)  # where a command was refused, or resumed a run elsewhere
                os.environ["HYDRA_FULL_ERROR"] = wanted
            if REFUSED:
                which = ", ".join(f"#{number}" for number in sorted(REFUSED))  # as Hydra counts them
                sys.exit(f"error: {counted(len(REFUSED), 'run')} of this sweep refused: {which}")
            return result

        return main

    return decorate


def carry_out(
    task: Callable[[DictConfig], Any], cfg: DictConfig, free: Collection[str], refused: tuple[type[Exception], ...]
) -> Any:
    """The task's result; what stops or refuses it is one line, before Hydra prints the overrides in front of it."""
    try:
        fit_choices(cfg, free)
        return task(cfg)
    except (Interrupted, KeyboardInterrupt) as stop:
        print(explain(stop) or "stopped", file=sys.stderr)
        sys.exit(INTERRUPTED)
    except refused as error:
        said = f"error: {under_setting(error, cfg) or explain(error)}"
        if HydraConfig.get().mode != RunMode.MULTIRUN:
            sys.exit(said)
        print(said, file=sys.stderr)
        return Refusal(HydraConfig.get().job.num)  # the rest of a sweep continues


def under_setting(error: BaseException, cfg: DictConfig) -> str | None:
    """What the system says of a file or folder, under the setting that contains it; None of any other error.

    Args:
        error: what was raised.
        cfg: the settings at work.
    """
    if not isinstance(error, OSError) or error.filename is None or error.strerror is None:
        return None
    own = HydraConfig.get()
    named = {key: OmegaConf.select(cfg, key) for key in NAMING_PLACES}
    if not any(typed.startswith("resume=") and typed != f"resume={AUTO}" for typed in own.overrides.task):
        named["resume"] = None
    if own.mode == RunMode.MULTIRUN:
        named["hydra.sweep.dir"] = own.runtime.output_dir
    elif own.runtime.output_dir != own.runtime.cwd:
        named["hydra.run.dir"] = own.runtime.output_dir
    file = Path(os.path.abspath(str(error.filename)))
    places = {key: Path(os.path.abspath(value)) for key, value in named.items() if isinstance(value, str)}
    holding = [key for key, place in places.items() if file == place or place in file.parents]
    if not holding:
        return None
    closest = max(holding, key=lambda key: len(places[key].parts))
    return f"{closest}: {error.strerror}: {str(error.filename)!r}"


class Refusal:
    """What a refused run of a sweep returns: it is noted here, and wherever it is sent to.

    Hydra's launchers hand their workers' results back to the process that counts, and nothing else. It is no number,
    not even NaN: Optuna's sweeper takes what is none for a failed trial and continues, and breaks off at NaN.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        REFUSED.add(number)

    def __repr__(self) -> str:
        return f"run #{self.number}, which was refused"

    def __reduce__(self) -> tuple[type, tuple[int]]:
        return Refusal, (self.number,)


def check_flags(arguments: list[str]) -> Namespace:
    """Refuse options that Hydra does not have (settings are typed without dashes), and settings that are removed.

    Returns:
        What was typed, as Hydra reads it.

    Raises:
        ValueError: in one line.
    """
    own, unknown = get_args_parser().parse_known_args(arguments)
    for removed in (typed for typed in own.overrides if typed.startswith("~") and "." not in typed.partition("=")[0]):
        raise ValueError(not_to_be_removed(removed[1:].partition("=")[0]))
    dashed = [argument for argument in unknown if argument.startswith("-")]
    if dashed:
        name = dashed[0].lstrip("-").partition("=")[0]
        raise ValueError(f"{dashed[0]} is not an option; settings are typed without dashes: {name}=...")
    if unknown:
        raise ValueError(f"options such as -m go before all settings; got {' '.join(arguments)}")
    return own


@contextmanager
def named_by_what_varies(argv: list[str]) -> Iterator[None]:
    """Have Hydra name a sweep's folders by what varies in it alone; settings that all runs share are left out."""
    own = get_args_parser().parse_known_args(argv[1:])[0]
    typed = parsed(own.overrides) if own.multirun else []
    varying = {each.key_or_group for each in typed if each.is_sweep_override()}
    constant = [each.key_or_group for each in typed if each.key_or_group not in varying]
    added: list[str] = []
    if varying:
        added = [f"hydra.job.config.override_dirname.exclude_keys=[{','.join(['resume', *constant])}]"]
    argv.extend(added)
    try:
        yield
    finally:
        del argv[len(argv) - len(added) :]


@contextmanager
def paths_as_typed(argv: list[str]) -> Iterator[None]:
    """Have Hydra take a file or folder whose name is a number as text: it would read 2026_01_31 as 20260131."""
    before = list(argv)
    argv[:] = [_NUMBERED.sub(r"\1'\2'", text) for text in argv]
    try:
        yield
    finally:
        argv[:] = before


@contextmanager
def without_repeated(argv: list[str]) -> Iterator[None]:
    """With ``resume=FOLDER``, take no notice of settings that say what the run's own say.

    Hydra composes the run's defaults first, in which a setting of another choice (``attack.size=8``) does not exist.
    """
    before = list(argv)
    typed = next((each.partition("=")[2] for each in argv if each.startswith("resume=")), AUTO)
    folder = Path.cwd() / Path(typed).expanduser()
    if typed != AUTO and (folder / "config.yaml").is_file() and not {"-m", "--multirun"} & set(argv):
        from fedgan.config.resume import is_repeated, recorded_settings  # here: it waits for torch

        own = get_args_parser().parse_known_args(argv[1:])[0].overrides
        if not any(options(text.partition("=")[0]) for text in own):  # a choice brings its other settings along
            recorded = recorded_settings(folder)
            argv[:] = [text for text in argv if text not in own or not is_repeated(text, recorded)]
    try:
        yield
    finally:
        argv[:] = before


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


def quieten() -> None:
    """Keep Lightning's notes to its own developers off the screen (its warnings stay), workers' bars, and fonts."""
    if current_process().name != "MainProcess":
        os.environ["TTY_COMPATIBLE"] = "0"  # several runs share the terminal: each prints one line per round
    # The child loggers: Lightning sets its own level when it is imported, later than this.
    for name in ("utilities.rank_zero", "accelerators.cuda"):
        logging.getLogger(f"pytorch_lightning.{name}").setLevel(logging.WARNING)
    # At a user's first run it says that it looks for fonts, by Hydra's logging on stdout, next to a command's result.
    logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)
    # Lightning and MLflow say that they make a file or an experiment that is not there yet.
    logging.getLogger("pytorch_lightning.loggers.mlflow").setLevel(logging.ERROR)
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", message=".*isinstance\\(treespec, LeafSpec\\).*")
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")
    warnings.filterwarnings("ignore", message="Checkpoint directory .* exists and is not empty.*")  # a resumed run's
    warnings.filterwarnings("ignore", message="The dirpath has changed from .*")  # a run folder may move
    warnings.filterwarnings("ignore", message=".*sync_dist=True.*")  # one process alone evaluates


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
