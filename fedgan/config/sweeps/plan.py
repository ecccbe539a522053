"""The runs of a sweep before the first of them is started."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
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
