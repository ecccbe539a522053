"""The base class does nothing, and a report says by how much an update was changed."""

from typing import Any

import pytest
import torch

from fedgan.core.arguments import component
from fedgan.core.round import Round
from fedgan.core.update import ClientUpdate
from fedgan.core.window import Window
from fedgan.update_attacks.base import UpdateAttack, report
from fedgan.update_attacks.scaling import Scaling


def test_the_base_class_changes_nothing_and_says_so() -> None:
    attack, own = UpdateAttack(), [ClientUpdate(1, 8, {}, {})]
    assert attack.alter(own, own, Round(0, {}, frozenset(), num_clients=4)) is own
    assert str(attack) == "no attack on updates"
    assert not attack.rests(own, own, Round(0, {}, frozenset(), num_clients=4))
    assert attack.state_dict() == {}
    assert (attack.acts, attack.knowledge, attack.window) == (False, "own", Window(0, None, 1))
    assert Scaling(factor=2.0).acts


@pytest.mark.parametrize(
    ("settings", "window"),
    [({}, Window(0, None, 1)), ({"start": 1, "stop": 6, "every": 2}, Window(1, 6, 2))],
)
def test_the_rounds_of_an_attack_are_those_that_were_set(settings: dict[str, Any], window: Window) -> None:
    assert Scaling(factor=2.0, **settings).window == UpdateAttack(**settings).window == window


def test_an_attack_without_words_of_its_own_is_named_by_its_class() -> None:
    class MyOwn(UpdateAttack):
        def alter(self, own: Any, known: Any, round_: Round) -> Any:
            return own

    assert str(MyOwn()) == "updates altered by MyOwn"


def test_an_attack_that_leaves_the_settings_to_the_base_class_knows_its_own_and_always_acts() -> None:
    class NoSettings(UpdateAttack):
        def __init__(self) -> None:
            pass

    assert (NoSettings().knowledge, NoSettings().window) == ("own", Window(0, None, 1))

    @component
    class Forgetful(UpdateAttack):
        def __post_init__(self) -> None: ...

    assert Forgetful(start=3).window == Window(3, None, 1)


def test_scaling_in_words() -> None:
    assert str(Scaling(factor=2.5)) == "updates scaled by 2.5"


REFERENCE = {"b": torch.tensor([1.0, 1.0]), "a": torch.tensor([0.0]), "running_mean": torch.tensor([9.0])}
ROUND = Round(0, REFERENCE, frozenset({"a", "b"}), num_clients=4)


def client(a: float, b: list[float], mean: float = 9.0) -> ClientUpdate:
    return ClientUpdate(3, 8, {"a": torch.tensor([a]), "b": torch.tensor(b), "running_mean": torch.tensor([mean])}, {})


@pytest.mark.parametrize(
    ("trained", "sent", "relative_norm", "share_changed", "cosine"),
    [
        # (0.3, 0, 0.4) becomes (0.3, 1.2, 0.4): 1.2 / 0.5, one of three, 0.25 / (0.5 * 1.3)
        (client(0.3, [1.0, 1.4]), client(0.3, [2.2, 1.4]), 2.4, 1 / 3, 0.25 / 0.65),
        (client(0.3, [1.0, 1.4]), client(-0.3, [1.0, 0.6]), 2.0, 2 / 3, -1.0),
        (client(0.3, [1.0, 1.4]), client(0.0, [1.0, 1.0]), 1.0, 2 / 3, 0.0),
        (client(3e25, [1.0, 4e25]), client(9e25, [1.0, 12e25]), 2.0, 2 / 3, 1.0),
        (client(0.3, [1.0, 1.4], mean=5.0), client(0.6, [1.0, 1.8], mean=7.0), 1.0, 2 / 3, 1.0),
    ],
    ids=["by hand", "turned around", "taken back", "huge", "buffers do not count"],
)
def test_how_much_an_update_was_changed(
    trained: ClientUpdate, sent: ClientUpdate, relative_norm: float, share_changed: float, cosine: float
) -> None:
    found = report(trained, sent, ROUND)
    assert found.client == 3
    assert found.relative_norm == pytest.approx(relative_norm, rel=1e-5)
    assert found.share_changed == pytest.approx(share_changed)
    assert found.cosine == pytest.approx(cosine, abs=1e-5)
    assert {type(value) for value in (found.relative_norm, found.share_changed, found.cosine)} == {float}


def test_a_client_that_did_not_move_has_no_direction() -> None:
    still = client(0.0, [1.0, 1.0])
    assert report(still, client(0.3, [1.0, 1.4]), ROUND).cosine == 0.0
    unchanged = report(still, still, ROUND)
    assert (unchanged.relative_norm, unchanged.share_changed, unchanged.cosine) == (0.0, 0.0, 0.0)
