"""The commands' common door: Hydra reads the configuration, and every refusal is one line.

With the other modules of this folder the only place besides the commands that knows Hydra.
"""

import functools
import os
import sys
from collections.abc import Callable, Collection
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from fedgan.config.folders import MADE, forget_sweep
from fedgan.config.help.text import help_text
from fedgan.config.places import under_setting
from fedgan.config.refusals import CONF, INTERRUPTED, REFUSALS, Interrupted, explain
from fedgan.config.screen import quieten
from fedgan.config.typed.adapted import check_flags, named_by_what_varies, paths_as_typed, without_repeated
from fedgan.config.typed.choices import fit_choices
from fedgan.core.folders import remove_empty
from fedgan.core.words import counted

REFUSED: set[int] = set()  # the numbers of a sweep's refused runs


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
