"""Components that break their contract stop the run in one line that names them."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from fedgan.attacks.base import Attack
from fedgan.attacks.patch_attack import PatchAttack
from fedgan.core.images import ImageSet
from fedgan.core.round import Round
from fedgan.core.update import ClientUpdate
from fedgan.defenses.base import Aggregate, Decision, Defense
from fedgan.federated.attackers import Attackers
from fedgan.federated.data import share_out
from fedgan.federated.server import Server
from fedgan.federated.weighting import Uniform, Weighting
from fedgan.partitions.base import Partition
from fedgan.update_attacks.base import UpdateAttack

ROUND = Round(0, {"p": torch.zeros(2), "steps": torch.tensor(0)}, frozenset({"p"}), num_clients=3)
UPDATES = [ClientUpdate(i, 8, {"p": torch.full((2,), float(i)), "steps": torch.tensor(4)}, {}) for i in range(3)]
SHARES = {0: 0.25, 1: 0.25, 2: 0.5}


def defense(hook: str, answer: Callable[..., Any]) -> Server:
    """A server with one defense, whose hook answers so."""
    own = type("Own", (Defense,), {hook: lambda self, *arguments: answer(*arguments)})
    return Server({"own": own()}, Uniform())


def served(server: Server) -> str:
    updates = [replace(update, state={name: t.clone() for name, t in update.state.items()}) for update in UPDATES]
    with pytest.raises(ValueError) as error:
        server.serve(updates, ROUND)
    assert "\n" not in str(error.value)
    return str(error.value)


def in_place(updates: Sequence[ClientUpdate], round_: Round) -> Sequence[ClientUpdate]:
    updates[0].state["p"].mul_(2)
    return updates


def with_nan(updates: Sequence[ClientUpdate], round_: Round) -> Sequence[ClientUpdate]:
    return [replace(updates[0], state={**updates[0].state, "p": torch.tensor([0.0, torch.nan])}), *updates[1:]]


STATE = {"p": torch.ones(2), "steps": torch.tensor(4)}
FILTERS = {
    "must return an update for each of the clients [0, 1, 2], in this order; got NoneType": lambda u, r: None,
    "must return an update for each of the clients [0, 1, 2], in this order; got [0, 1]": lambda u, r: u[:2],
    "must return an update for each of the clients [0, 1, 2], in this order; got [2, 1, 0]": lambda u, r: u[::-1],
    "must return an update for each of the clients [0, 1, 2], in this order; got list": lambda u, r: [{}] * 3,
    "must leave the states that it is given as they are and return new ones": in_place,
    "of client 0's update must return a state of finite numbers; p has others": with_nan,
}
WEIGHTS = "must return weights of at least 0 that sum to 1, for clients [0, 1, 2]; got "
REWEIGHTS: dict[str, Any] = {
    "must return a fedgan.defenses.base.Decision; got dict": SHARES,
    WEIGHTS + "{0: 2.0, 1: 2.0, 2: 2.0}": Decision(dict.fromkeys(range(3), 2.0)),
    WEIGHTS + "{0: 0.5, 1: 0.5}": Decision({0: 0.5, 1: 0.5}),
    WEIGHTS + "{0: 1.5, 1: -0.5, 2: 0.0}": Decision({0: 1.5, 1: -0.5, 2: 0.0}),
    WEIGHTS + "{0: nan, 1: 0.5, 2: 0.5}": Decision({0: float("nan"), 1: 0.5, 2: 0.5}),
    WEIGHTS + "list": Decision([0.5, 0.5, 0.0]),  # type: ignore[arg-type]
}
AGGREGATES: dict[str, Any] = {
    "must return a fedgan.defenses.base.Aggregate; got dict": STATE,
    "must return a state with the names of the generator's; not so: ['steps']": Aggregate({"p": torch.ones(2)}, None),
    "must return a state with the names of the generator's; not so: []": Aggregate([], None),  # type: ignore[arg-type]
    "must return p in the shape (2,); got (3,)": Aggregate({**STATE, "p": torch.ones(3)}, None),
    "must return a state of finite numbers; p has others": Aggregate({**STATE, "p": torch.full((2,), torch.inf)}, None),
    WEIGHTS + "{0: 1.0, 1: 1.0, 2: 1.0}": Aggregate(STATE, dict.fromkeys(range(3), 1.0)),
}


@pytest.mark.parametrize("said", FILTERS)
def test_a_filter(said: str) -> None:
    answer = served(defense("filter", FILTERS[said]))
    assert answer.removeprefix("defense.own: filter ") == said


@pytest.mark.parametrize("said", REWEIGHTS)
def test_new_weights(said: str) -> None:
    assert served(defense("reweight", lambda u, w, r: REWEIGHTS[said])) == f"defense.own: reweight {said}"


@pytest.mark.parametrize("said", AGGREGATES)
def test_an_aggregate(said: str) -> None:
    assert served(defense("aggregate", lambda u, w, r: AGGREGATES[said])) == f"defense.own: aggregate {said}"


def test_a_finish() -> None:
    said = served(defense("finish", lambda state, r: {**state, "p": state["p"] / 0}))
    assert said == "defense.own: finish must return a state of finite numbers; p has others"


def test_whole_numbers_need_not_be_floats_to_be_finite() -> None:
    server = defense("aggregate", lambda u, w, r: Aggregate(STATE, SHARES))
    state, decision = server.serve(UPDATES, ROUND)
    assert (state, decision.weights) == (STATE, SHARES)


@pytest.mark.parametrize("total", [1 - 5e-7, 1 + 5e-7])
def test_rounding_is_no_breach(total: float) -> None:
    weights = {0: 0.0, 1: total / 2, 2: total / 2}
    defense("reweight", lambda u, w, r: Decision(weights)).serve(UPDATES, ROUND)


def test_a_weighting() -> None:
    class Doubled(Weighting):
        def weigh(self, updates: Sequence[ClientUpdate]) -> dict[int, float]:
            return {update.client_id: 1.0 for update in updates}

    assert served(Server({}, Doubled())) == f"fl.weighting {WEIGHTS}{{0: 1.0, 1: 1.0, 2: 1.0}}"


@pytest.mark.parametrize("sent", [[], [2], [0, 1, 1]])
def test_an_attack_on_updates(sent: list[int]) -> None:
    class Own(UpdateAttack):
        def alter(
            self, own: Sequence[ClientUpdate], known: Sequence[ClientUpdate], round_: Round
        ) -> Sequence[ClientUpdate]:
            return [UPDATES[i] for i in sent]

    with pytest.raises(ValueError) as error:
        Attackers(frozenset({1}), Own()).alter(UPDATES, ROUND)
    said = f"update_attack: alter must return an update for each of the clients [1], in this order; got {sent}"
    assert str(error.value) == said


PARTS: dict[str, list[Any]] = {
    "a part for each of the 2 clients; got 1": [torch.arange(4)],
    "parts that are int64 tensors of indices; client 1 has [4, 5]": [torch.arange(4), [4, 5]],
    "parts that are int64 tensors of indices; client 0 has Tensor": [torch.arange(4.0), torch.arange(4, 8)],
    "indices in ascending order, each once, from 0 to 7; client 0 has others": [
        torch.tensor([1, 0]),
        torch.arange(4, 8),
    ],
    "indices in ascending order, each once, from 0 to 7; client 1 has others": [torch.arange(4), torch.tensor([4, 4])],
    "indices in ascending order, each once, from 0 to 7; client 1 has others ": [torch.arange(4), torch.tensor([4, 8])],
    "indices in ascending order, each once, from 0 to 7; client 0 has others ": [
        torch.tensor([-1, 2]),
        torch.arange(3, 8),
    ],
    "parts without a common image; 2 are shared": [torch.arange(4), torch.arange(2, 8)],
}


@pytest.mark.parametrize("said", PARTS)
def test_a_partition(said: str) -> None:
    class Own(Partition):
        def split(self, images: ImageSet, num_clients: int, seed: int) -> list[Tensor]:
            return PARTS[said]

    images = ImageSet(torch.zeros(8, 1, 16, 16, dtype=torch.uint8), torch.arange(8) % 2, ("a", "b"))
    with pytest.raises(ValueError) as error:
        share_out(images, Own(), Attack(), frozenset(), num_clients=2, seed=0)
    assert str(error.value) == f"partition must return {said.strip()}"


@pytest.mark.parametrize(
    ("pattern", "got"),
    [
        (torch.ones(1, 4, 4), "torch.float32 of (1, 4, 4)"),
        (torch.ones(1, 2, 2, dtype=torch.uint8), "torch.uint8 of (1, 2, 2)"),
        (torch.ones(3, 4, 4, dtype=torch.uint8), "torch.uint8 of (3, 4, 4)"),
    ],
)
def test_a_pattern(pattern: Tensor, got: str) -> None:
    class Own(PatchAttack):
        def pattern(self, channels: int, rng: torch.Generator) -> Tensor:
            return pattern

    with pytest.raises(ValueError) as error:
        Own(size=4).trigger(1, 32, seed=0)
    assert str(error.value) == f"pattern must be uint8 of shape (1, 4, 4); got {got}"
