"""A component from Python starts from the same settings as its option of the configuration."""

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hydra.utils import get_object
from omegaconf import OmegaConf

from fedgan.config.refusals import CONF

GROUPS = ("attack", "update_attack", "defense", "partition", "fl/server_optimizer", "metrics")
FILES = sorted(file for group in GROUPS for file in (CONF / group).glob("*.yaml"))
# Where an option means to differ from its class. The paper's trigger is a pixel away from the border.
OTHERWISE: dict[tuple[str, str], Any] = {
    ("krum", "selected"): 1,  # of one class there are two options: multi_krum has the default
    ("amplitude", "false_alarm"): 0.02,
    **{(name, "margin"): 1 for name in ("class_trigger", "distributed", "noise_patch", "random_patch", "white_square")},
}


def defaults(file: Path) -> Iterator[tuple[str, Any, Any]]:
    """The settings that an option and its class both have a value for: name, the option's, the class's."""
    option = OmegaConf.to_container(OmegaConf.load(file), resolve=False)
    assert isinstance(option, dict)
    if not str(option.get("_target_", "")).startswith("fedgan."):
        return
    for name, parameter in inspect.signature(get_object(option["_target_"])).parameters.items():
        given = option.get(name, parameter.default)
        if parameter.default is not parameter.empty and not isinstance(given, dict):
            yield name, given, list(parameter.default) if isinstance(parameter.default, tuple) else parameter.default


@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parent.name}/{file.stem}")
def test_an_option_has_the_defaults_of_its_class(file: Path) -> None:
    for name, of_option, of_class in defaults(file):
        expected = OTHERWISE.get((file.stem, name), of_class)
        assert (of_option, type(of_option)) == (expected, type(expected)), name


def test_there_are_options_to_compare() -> None:
    assert sum(1 for file in FILES for _ in defaults(file)) > 100
