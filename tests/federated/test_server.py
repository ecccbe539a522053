import io
from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

import pytest
import torch

from fedgan.core.round import Round
from fedgan.core.update import ClientUpdate
from fedgan.defenses.base import Aggregate, Decision, Defense
from fedgan.federated.server import Server
from fedgan.federated.weighting import Uniform


def updates(*values: float) -> list[ClientUpdate]:
    return [
        ClientUpdate(i, 10, {"p": torch.tensor([float(value)])}, {"loss_g": value}) for i, value in enumerate(values)
    ]


ROUND = Round(0, {"p": torch.zeros(1)}, frozenset({"p"}), num_clients=4)


class Halving(Defense):
    """Halves one client's weight and flags it."""

    def __init__(self, client: int) -> None:
        self.client, self.calls = client, 0

    def reweight(self, updates: Sequence[ClientUpdate], weights: Mapping[int, float], round_: Round) -> Decision:
        self.calls += 1
        halved = {i: w / 2 if i == self.client else w for i, w in weights.items()}
        total = sum(halved.values())
        return Decision({i: w / total for i, w in halved.items()}, frozenset({self.client}))

    def state_dict(self) -> dict[str, int]:
        return {"calls": self.calls}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.calls = state["calls"]


def test_without_a_defense_every_client_counts_alike() -> None:
    decision = Server({}, Uniform()).serve(updates(1, 2, 3, 4), ROUND)[1]
    assert decision.weights == dict.fromkeys(range(4), 0.25)
    assert decision.effective_clients == 4.0
    assert not decision.flagged


def test_defenses_act_one_after_the_other() -> None:
    server = Server({"a": Halving(0), "b": Halving(1)}, Uniform())
    decision = server.serve(updates(1, 2, 3), ROUND)[1]
    assert [decision.weights[i] for i in range(3)] == pytest.approx([1 / 4, 1 / 4, 1 / 2])
    assert decision.flagged == {0, 1}
    assert decision.flag_counts == {0: 1, 1: 1, 2: 0}


def test_aggregate_follows_the_weights() -> None:
    class Half(Defense):
        def reweight(self, updates: Sequence[ClientUpdate], weights: Mapping[int, float], round_: Round) -> Decision:
            return Decision({0: 0.5, 1: 0.5, 2: 0.0})

    state, _ = Server({"half": Half()}, Uniform()).serve(updates(1, 2, 3), ROUND)
    assert state["p"].item() == 1.5


@pytest.mark.parametrize(
    ("flagged", "malicious", "rates"),
    [
        ({3}, {3}, (1.0, 0.0)),
        ({0}, {3}, (0.0, 1 / 3)),
        ({0, 3}, {3}, (1.0, 1 / 3)),
        (set(), {3}, (0.0, 0.0)),
        ({1}, set(), (None, 1 / 4)),
        ({1}, {9}, (None, 1 / 4)),
        ({0, 1}, {0, 1, 2, 3}, (0.5, None)),
    ],
)
def test_detection_rates(flagged: set[int], malicious: set[int], rates: tuple[float | None, float | None]) -> None:
    decision = Decision(dict.fromkeys(range(4), 0.25), frozenset(flagged), dict.fromkeys(range(4), 0))
    assert decision.detection_rates(frozenset(malicious)) == rates


def test_a_decision_survives_a_checkpoint_whatever_mapping_the_defense_gave() -> None:
    given = Decision(MappingProxyType({0: 0.25, 3: 0.75}), frozenset({0}), MappingProxyType({0: 2, 3: 1}))
    buffer = io.BytesIO()
    torch.save(given.to_plain(), buffer)
    buffer.seek(0)
    back = Decision.from_plain(torch.load(buffer, weights_only=True))
    assert back == given
    assert back.detection_rates(frozenset({0})) == (1.0, 0.0)


def test_the_last_decision_about_clients_is_remembered() -> None:
    server, other = Server({}, Uniform()), Server({}, Uniform())
    other.load_state_dict(server.state_dict())
    assert other.last_of_clients is None
    server.last_of_clients = Decision({0: 1.0}, frozenset({0}), {0: 3})
    other.load_state_dict(server.state_dict())
    assert other.last_of_clients == server.last_of_clients


def test_memory_of_every_defense_goes_into_the_checkpoint() -> None:
    server = Server({"a": Halving(0)}, Uniform())
    server.serve(updates(1, 2, 3), ROUND)
    halving = Halving(0)
    other = Server({"a": halving}, Uniform())
    other.load_state_dict(server.state_dict())
    assert halving.calls == 1


class Suspecting(Defense):
    """Flags the clients of its list, round by round, where they are present."""

    def __init__(self, *flagged: set[int]) -> None:
        self.flagged = flagged

    def reweight(self, updates: Sequence[ClientUpdate], weights: Mapping[int, float], round_: Round) -> Decision:
        return Decision(weights, frozenset(self.flagged[round_.index]) & weights.keys())


def test_e1_a_round_in_which_two_defenses_flag_a_client_counts_once() -> None:
    """Client 0 by both in round 0, by one in round 2; client 2, absent in round 1, keeps its count."""
    defenses = {"a": Suspecting({0, 2}, {1}, {0}), "b": Suspecting({0}, {1, 2}, set())}
    server, counts = Server(defenses, Uniform()), []
    for t, clients in enumerate(((0, 1, 2), (0, 1), (0, 1, 2))):
        sent = [update for update in updates(1, 2, 3) if update.client_id in clients]
        counts.append(dict(server.serve(sent, replace(ROUND, index=t))[1].flag_counts))
        resumed = Server(defenses, Uniform())
        resumed.load_state_dict(server.state_dict())
        server = resumed
    assert counts == [{0: 1, 1: 0, 2: 1}, {0: 1, 1: 1}, {0: 2, 1: 1, 2: 1}]


class WithoutWeights(Defense):
    """The first client's state, whatever the weights are."""

    def aggregate(self, updates: Sequence[ClientUpdate], weights: Mapping[int, float], round_: Round) -> Aggregate:
        return Aggregate(updates[0].state, None)


def test_weights_that_the_aggregate_leaves_aside_are_refused() -> None:
    server = Server({"halving": Halving(0), "first": WithoutWeights()}, Uniform())
    with pytest.raises(ValueError) as error:
        server.serve(updates(1, 2, 3), ROUND)
    said = "defense must be a list without halving, since first does not use weights; got ['halving', 'first']"
    assert str(error.value) == said
    state, decision = Server({"first": WithoutWeights()}, Uniform()).serve(updates(1, 2, 3), ROUND)
    assert (state["p"].item(), dict(decision.weights)) == (1.0, {})


def test_a_server_of_an_earlier_version_is_refused_in_one_line() -> None:
    server = Server({}, Uniform())
    state = server.state_dict()
    del state["flag_counts"]
    with pytest.raises(ValueError, match=r"^resume must be a run of this version .*; got \"an earlier one's\"$"):
        server.load_state_dict(state)
