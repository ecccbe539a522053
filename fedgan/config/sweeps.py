"""What can be seen of a sweep before its first run, and after its last."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException


def check_subdirs(config: DictConfig) -> None:
    """Refuse a sweep of which two runs would go into one folder, before the first of them is trained.

    Args:
        config: the sweep's, as Hydra's own sweeper gets it.

    Raises:
        ValueError: in one line.
    """
    before, first = HydraConfig.instance().cfg, dict[Path, int]()
    try:
        for number, subdir in enumerate(_subdirs(config)):
            other = first.setdefault(Path(subdir), number)
            if other != number:
                both = f"#{other} and #{number} would both go into {subdir!r}"
                raise ValueError(f"hydra.sweep.subdir must differ from run to run; {both}")
    except (HydraException, OmegaConfBaseException):
        return  # the sweeper meets it next, and says what it is
    finally:
        HydraConfig.instance().cfg = before


def _subdirs(config: DictConfig) -> Iterator[str]:
    """Each run's folder within the sweep's, in order; composing a run takes about 0.1 s."""
    loader = GlobalHydra.instance().config_loader()
    typed = [str(text) for text in config.hydra.overrides.task]
    overrides = OverridesParser.create(config_loader=loader).parse_overrides(typed)
    jobs = [job for batch in BasicSweeper.split_arguments(overrides, max_batch_size=None) for job in batch]
    for number, job in enumerate(jobs if len(jobs) > 1 else ()):
        own = loader.load_sweep_config(config, job)
        with open_dict(own):
            own.hydra.job.id = own.hydra.job.num = number
        HydraConfig.instance().set_config(own)
        yield str(OmegaConf.select(own, "hydra.sweep.subdir"))


class SweepTable(Callback):
    """At a sweep's end: its runs as one table; see ``fedgan.config.sweep_table``."""

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        """After the last run."""
        from fedgan.config.sweep_table import at_end  # here: no command waits for pandas before its settings are read

        at_end(Path(str(config.hydra.sweep.dir)))
