"""A part of a run from its settings: ``conf/`` names its class by ``_target_``."""

from functools import partial
from typing import Any

from hydra.utils import instantiate as hydra_instantiate
from omegaconf import DictConfig, OmegaConf

from fedgan.core.checks import check

instantiate = partial(hydra_instantiate, _convert_="all")  # lists and mappings arrive as Python's own


def made(cfg: DictConfig, place: str, kind: type) -> Any:
    """The component whose settings are at a place of the configuration.

    Raises:
        ValueError: in one line, if it is not of its group's kind.
    """
    component = instantiate(OmegaConf.select(cfg, place))
    base = f"{kind.__module__}.{kind.__name__}"
    check(isinstance(component, kind), place, f"the settings of a {base}, with its _target_", type(component).__name__)
    return component
