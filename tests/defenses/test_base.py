"""What is true of every defense: the base class does nothing, and a default is said once."""

import inspect
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hydra.utils import get_class, instantiate
from omegaconf import DictConfig

from fedgan.config.refusals import CONF
from fedgan.core.round import Round
from fedgan.defenses.base import Decision, Defense, overrides
from fedgan.federated.server import HOOKS
from fedgan.gan.losses import NonSaturating
from fedgan.gan.recipe import Recipe

NAMES = sorted(path.stem for path in Path(CONF, "defense").glob("*.yaml") if path.stem != "none")


def at(t: int) -> Round:
    return Round(t, {}, frozenset(), num_clients=4)


def test_the_base_class_acts_nowhere() -> None:
    defense, images, weights = Defense(), torch.zeros(2, 1, 4, 4), {0: 0.5, 1: 0.5}
    recipe = Recipe(torch.nn.Identity(), NonSaturating(), torch.optim.Adam, torch.optim.Adam)
    assert defense.adapt(recipe) is recipe
    assert defense.transform_batch(images, torch.Generator()) is images
    assert defense.reweight([], weights, at(0)) == Decision(weights, frozenset(), {})
    assert not any(overrides(defense, hook) for hook in HOOKS)
    assert defense.filter(updates := [], at(0)) is updates
    assert defense.finish(state := {}, at(0)) is state
    assert defense.receipt() == {}
    assert defense.server_training() is None
    assert defense.state_dict() == {}


@pytest.mark.parametrize("name", NAMES)
def test_defaults_are_those_of_the_configuration(name: str, configure: Callable[..., DictConfig]) -> None:
    """But for parts such as an optimizer, which None leaves to the model."""
    ((component, part),) = configure(f"defense={name}").defense.items()
    assert isinstance(instantiate(part, _convert_="all"), Defense)
    if component != name:  # a variant of another file's: it is there to differ
        return
    defaults = {key: p.default for key, p in inspect.signature(get_class(part._target_)).parameters.items()}
    assert {key: value for key, value in defaults.items() if value is not None} == {
        key: part[key] for key in defaults if defaults[key] is not None
    }
