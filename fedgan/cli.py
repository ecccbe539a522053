"""The commands' common door: Hydra reads the configuration, and every refusal is one line.

The only place besides the commands themselves that knows Hydra.
"""

import functools
import hashlib
import logging
import os
import re
import sys
import warnings
from collections.abc import Callable
from multiprocessing import current_process
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import ConfigCompositionException, HydraException, InstantiationException, MissingConfigException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

PACKAGE = Path(__file__).parent
# In a checkout conf/ lies beside the package; an installed wheel carries it inside.
CONF = PACKAGE / "conf" if (PACKAGE / "conf").is_dir() else PACKAGE.parent / "conf"

INTERRUPTED = 130  # the exit code of a command that a signal stopped
AUTO = "auto"  # resume=auto: go on with the run in the command's own folder, or begin it
LONGEST_NAME = 160  # of a folder; file systems stop at 255
# What a user can mend; anything else is a defect of ours and keeps its traceback.
REFUSALS = (ValueError, OSError, HydraException, OmegaConfBaseException)
REFUSED: set[int] = set()  # the numbers of a sweep's refused runs


class Interrupted(Exception):
    """Raised by a command that a signal stopped and that can go on later; its message says how."""


def command(config_name: str) -> Callable[[Callable[[DictConfig], Any]], Callable[[], Any]]:
    """Make a command of a task that takes the composed configuration from ``conf/<config_name>.yaml``."""

    def decorate(task: Callable[[DictConfig], Any]) -> Callable[[], Any]:
        def main() -> Any:
            wanted = os.environ.get("HYDRA_FULL_ERROR", "0")
            refused = REFUSALS if wanted in ("", "0") else ()
            REFUSED.clear()

            @functools.wraps(task)
            def guarded(cfg: DictConfig) -> Any:  # in a sweep perhaps by a worker, which knows nothing of this process
                os.environ["HYDRA_FULL_ERROR"] = wanted  # for what the task itself starts
                quieten()
                try:
                    return task(cfg)
                except (Interrupted, KeyboardInterrupt) as stop:
                    print(explain(stop) or "stopped", file=sys.stderr)
                    sys.exit(INTERRUPTED)
                except refused as error:  # caught here, before Hydra prints the overrides in front of it
                    if HydraConfig.get().mode != RunMode.MULTIRUN:
                        sys.exit(f"error: {explain(error)}")
                    print(f"error: {explain(error)}", file=sys.stderr)
                    return Refusal(HydraConfig.get().job.num)  # the rest of a sweep goes on

            # So that Hydra hands its errors on to the one place that words them.
            os.environ["HYDRA_FULL_ERROR"] = "1"
            try:
                result = hydra.main(version_base="1.3", config_path=str(CONF), config_name=config_name)(guarded)()
            except refused as error:
                sys.exit(f"error: {explain(error)}")
            except KeyboardInterrupt:
                sys.exit(INTERRUPTED)
            finally:
                os.environ["HYDRA_FULL_ERROR"] = wanted
            if REFUSED:
                which = ", ".join(f"#{number}" for number in sorted(REFUSED))  # as Hydra counts them
                sys.exit(f"error: {len(REFUSED)} run(s) of this sweep refused: {which}")
            return result

        return main

    return decorate


class Refusal:
    """What a refused run of a sweep returns: it is noted here, and wherever it is sent to.

    Hydra's launchers hand their workers' results back to the process that counts, and nothing else.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        REFUSED.add(number)

    def __reduce__(self) -> tuple[type, tuple[int]]:
        return Refusal, (self.number,)


def quieten() -> None:
    """Keep Lightning's notes to its own developers off the screen (its warnings stay), workers' bars, and fonts."""
    if current_process().name != "MainProcess":
        os.environ["TTY_COMPATIBLE"] = "0"  # several runs share the terminal: each says a line a round
    # The child loggers: Lightning sets its own level when it is imported, later than this.
    for name in ("utilities.rank_zero", "accelerators.cuda"):
        logging.getLogger(f"pytorch_lightning.{name}").setLevel(logging.WARNING)
    # At a user's first run it says that it looks for fonts, by Hydra's logging on stdout, next to a command's result.
    logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", message=".*isinstance\\(treespec, LeafSpec\\).*")
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")
    warnings.filterwarnings("ignore", message="Checkpoint directory .* exists and is not empty.*")  # a resumed run's


def explain(error: BaseException) -> str:
    """One line: what was set, what is allowed, what came."""
    cause = error.__cause__
    if isinstance(error, MissingConfigException):
        return _one_line(_unknown_choice(error) or str(error))
    if isinstance(error, ConfigCompositionException) and isinstance(cause, OmegaConfBaseException):
        return _one_line(f"{_unknown_key(cause) or f'{error}: {cause}'}")
    if isinstance(error, InstantiationException):
        return _one_line(_of_component(error))
    return _one_line(str(error))


def _of_component(error: InstantiationException) -> str:
    """What a component's constructor raised, under the name that the setting has in this configuration."""
    said = str(error.__cause__ or error)
    key = re.search(r"full_key: (\S+)", str(error))
    if key is None:
        return said
    group, _, own = key[1].rpartition(".")
    if said.startswith(f"{own}."):  # its own setting, by the component's name: classifier.steps
        return f"{group}.{said}" if group else said
    names_a_setting = re.match(r"\w+(\.\w+)+ ", said)  # such as dataset.image_size, of a model
    return said if names_a_setting else f"{key[1]}: {said}"


def _unknown_choice(error: MissingConfigException) -> str | None:
    group, _, name = (error.missing_cfg_file or "").rpartition("/")
    known = sorted(file.stem for file in (CONF / group).glob("*.yaml"))  # Hydra lists them only outside of lists
    return f"{group}={name} is no choice; {group} has: {', '.join(known)}" if group and known else None


def _unknown_key(error: OmegaConfBaseException) -> str | None:
    parent = error.parent_node
    if error.key is None or not OmegaConf.is_dict(parent):
        return None
    known = ", ".join(sorted(str(key) for key in parent if not str(key).startswith("_"))) or "none"
    where = parent._get_full_key(None) or "the configuration"
    return f"{error.full_key or error.key} is no setting; {where} has: {known}"


def _one_line(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip()


def folder_name(overrides: str) -> str:
    """A folder's name for a set of overrides in a multirun, readable, and typed without quotes.

    Example:
        >>> folder_name("attack.size-4+defense-none")
        'attack.size-4+defense-none'
        >>> folder_name("dataset.root-/data/x-rays")
        'dataset.root-_data_x-rays_cb1a0325'
    """
    readable = re.sub(r"[^\w.+-]+", "_", overrides)
    if readable == overrides and len(readable) <= LONGEST_NAME:
        return readable or "default"
    # What was cut or replaced may be all that tells two runs apart.
    digest = hashlib.sha256(overrides.encode()).hexdigest()[:8]
    return f"{readable[:LONGEST_NAME]}_{digest}"


def run_folder(resume: str | None, new: str) -> str:
    """Where a run happens: the folder of the one that is resumed, if there is one to be found, or else a new one."""
    return str(resume) if resume and (Path(str(resume)) / "config.yaml").is_file() else new


def settings_folder(resume: str | None) -> str | None:
    """Hydra's own folder within a run's; none for a run that is resumed by its name."""
    return ".hydra" if resume in (None, AUTO) else None


for resolver in (folder_name, run_folder, settings_folder):
    OmegaConf.register_new_resolver(resolver.__name__, resolver, replace=True)
