"""A component from Python starts from the same settings as its option of the configuration."""

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hydra.utils import get_object
from omegaconf import OmegaConf

from fedgan.attacks.white_square import WhiteSquare
from fedgan.config.refusals import CONF
from fedgan.metrics.triggers.amplitude import AmplitudeRate

GROUPS = ("attack", "update_attack", "defense", "partition", "fl/server_optimizer", "metrics")
FILES = sorted(file for group in GROUPS for file in (CONF / group).glob("*.yaml"))
# Where an option means to differ from its class.
OTHERWISE: dict[tuple[str, str], Any] = {
    ("krum", "selected"): 1,  # of one class there are two options: multi_krum has the default
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


def test_e14_a_patch_is_a_pixel_away_from_the_border_from_python_too() -> None:
    margins = {file.stem: values for file in FILES for name, *values in defaults(file) if name == "margin"}
    patches = ("class_trigger", "distributed", "noise_patch", "random_patch", "white_square")
    assert margins == {key: [1, 1] for key in patches}
    patch = WhiteSquare(size=4).trigger(channels=1, image_size=32, seed=0)
    assert (patch.top, patch.left) == (27, 27)
    assert AmplitudeRate().false_alarm == 0.02
