"""What acts in a round, in which order, on what, and what is recorded of it."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import DictConfig
from safetensors.torch import load_file

from fedgan.config import training
from fedgan.core.arguments import component
from fedgan.core.images import ImageSet
from fedgan.core.rng import keyed_generator
from fedgan.core.round import Round
from fedgan.core.update import ClientUpdate, State
from fedgan.core.window import Window
from fedgan.defenses.base import Aggregate, Decision, Defense
from fedgan.defenses.robust.median import Median
from fedgan.federated.attackers import Attackers, choose_malicious
from fedgan.federated.data import check_enough
from fedgan.federated.server import Server
from fedgan.federated.weighting import NumExamples, Uniform
from fedgan.update_attacks.base import Knowledge, UpdateAttack
from fedgan.update_attacks.scaling import Scaling
from tests.helpers.runs import rows

Configure = Callable[..., DictConfig]
START = {"w": torch.zeros(2), "running_mean": torch.zeros(2), "n": torch.tensor(0)}
ROUND = Round(3, START, frozenset({"w"}), num_clients=4, seed=7)


def update(client_id: int, value: float, examples: int = 8) -> ClientUpdate:
    state = {"w": torch.full((2,), value), "running_mean": torch.full((2,), -value), "n": torch.tensor(client_id)}
    return ClientUpdate(client_id, examples, state, {})


class Recording(Defense):
    """Doubles each update, gives client 0 everything, adds one at the end; notes what it was called with."""

    def __init__(self, calls: list[str]) -> None:
        self.calls = calls

    def filter(self, updates: Sequence[ClientUpdate], round_: Round) -> Sequence[ClientUpdate]:
        self.calls.append("filter")
        doubled = [{name: 2 * d for name, d in round_.delta(u.state).items()} for u in updates]
        return [replace(u, state=round_.moved(d, u.state)) for u, d in zip(updates, doubled, strict=True)]

    def reweight(self, updates: Sequence[ClientUpdate], weights: Mapping[int, float], round_: Round) -> Decision:
        self.calls.append("reweight")
        return Decision({u.client_id: float(u.client_id == 0) for u in updates}, frozenset({1}))

    def finish(self, state: State, round_: Round) -> State:
        self.calls.append("finish")
        return {**state, "w": state["w"] + 1}

    def receipt(self) -> Mapping[str, float]:
        return {"calls": len(self.calls)}


class Soft(Defense):
    """An aggregate with its own weights."""

    def aggregate(self, updates: Sequence[ClientUpdate], weights: Mapping[int, float], round_: Round) -> Aggregate:
        return Aggregate(updates[0].state, {u.client_id: 0.7 if u.client_id == 0 else 0.1 for u in updates})


def test_hooks_act_one_kind_after_the_other_and_leave_receipts() -> None:
    calls: list[str] = []
    server = Server({"a": Recording(calls), "idle": Defense(), "b": Recording(calls)}, Uniform())
    state, decision = server.serve([update(0, 1.0), update(1, 5.0)], ROUND)
    assert calls == ["filter", "filter", "reweight", "reweight", "finish", "finish"]
    assert state["w"].tolist() == [6.0, 6.0], "client 0's 1, doubled twice, and 1 added twice"
    assert state["running_mean"].tolist() == [-1.0, -1.0], "buffers are client 0's, not doubled"
    assert decision == Decision({0: 1.0, 1: 0.0}, frozenset({1}), {0: 0, 1: 1})
    assert server.rounds_acted == {"a": 1, "b": 1}, "what has no hook here cannot act here"
    assert server.receipts == {"a": {"acted": 1.0, "calls": 6}, "b": {"acted": 1.0, "calls": 6}}


class Filters(Defense):
    """Gives client 1 another update, the same as it was."""

    def filter(self, updates: Sequence[ClientUpdate], round_: Round) -> Sequence[ClientUpdate]:
        return [replace(u) if u.client_id == 1 else u for u in updates]


class Weighs(Defense):
    """Takes from client 0 what it gives to client 1, and flags nobody."""

    def reweight(self, updates: Sequence[ClientUpdate], weights: Mapping[int, float], round_: Round) -> Decision:
        return Decision({0: 0.25, 1: 0.75})


class Flags(Defense):
    """Flags client 1 and leaves its weight."""

    def reweight(self, updates: Sequence[ClientUpdate], weights: Mapping[int, float], round_: Round) -> Decision:
        return Decision(weights, frozenset({1}))


class Finishes(Defense):
    """Another state, the same as it was."""

    def finish(self, state: State, round_: Round) -> State:
        return dict(state)


@pytest.mark.parametrize("kind", [Filters, Weighs, Flags, Finishes, Median])
def test_each_hook_alone_is_an_act(kind: type[Defense]) -> None:
    server = Server({"idle": Defense(), "one": kind()}, Uniform())
    for rounds in (1, 2):
        server.serve([update(i, float(i)) for i in range(3 if kind is Median else 2)], ROUND)
        assert server.rounds_acted == {"one": rounds}
        assert server.receipts == {"one": {"acted": 1.0}}
        assert type(server.receipts["one"]["acted"]) is float, "a table has 1.0, not True"


def test_a_defense_that_changes_nothing_has_not_acted() -> None:
    class Idle(Defense):
        def reweight(self, updates: Any, weights: Any, round_: Any) -> Decision:
            return Decision(dict(weights))

    server = Server({"idle": Idle()}, Uniform())
    server.serve([update(0, 1.0), update(1, 5.0)], ROUND)
    assert server.rounds_acted == {"idle": 0}
    again = Server({"idle": Idle()}, Uniform())
    again.load_state_dict(server.state_dict() | {"rounds_acted": {"idle": 4}})
    assert again.rounds_acted == {"idle": 4}


def test_the_weights_that_the_aggregate_gave_are_the_ones_recorded() -> None:
    three = [update(i, float(i)) for i in range(4)]
    _, soft = Server({"soft": Soft()}, Uniform()).serve(three, ROUND)
    assert soft.weights == {0: 0.7, 1: 0.1, 2: 0.1, 3: 0.1}
    assert soft.effective_clients == pytest.approx(1 / (0.49 + 0.03))
    _, none = Server({"median": Median()}, Uniform()).serve(three, ROUND)
    assert none.weights == {}
    assert none.effective_clients is None
    assert none.detection_rates(frozenset({1})) == (0.0, 0.0), "who took part is known all the same"


def test_two_aggregates_are_refused_at_the_start() -> None:
    with pytest.raises(ValueError, match="^defense must be at most one with its own aggregate"):
        Server({"a": Median(), "b": Soft()}, Uniform())


def test_weights_by_images_and_alike() -> None:
    updates = [update(0, 1.0, examples=30), update(1, 5.0, examples=10)]
    state, decision = Server({}, NumExamples()).serve(updates, ROUND)
    assert decision.weights == {0: 0.75, 1: 0.25}
    assert state["w"].tolist() == [2.0, 2.0]
    state, _ = Server({}, Uniform()).serve(updates, ROUND)
    assert state["w"].tolist() == [3.0, 3.0]


@component
class Spy(UpdateAttack):
    """Notes what it sees and adds 1 to the parameters."""

    knowledge: Knowledge = "own"

    def alter(self, own: Any, known: Any, round_: Round) -> Sequence[ClientUpdate]:
        self.seen = [u.client_id for u in own], [u.client_id for u in known]
        deltas = [{name: d + 1 for name, d in round_.delta(u.state).items()} for u in own]
        return [replace(u, state=round_.moved(d, u.state)) for u, d in zip(own, deltas, strict=True)]


@pytest.mark.parametrize(("knowledge", "known"), [("own", [1, 3]), ("all", [0, 1, 2, 3])])
def test_the_malicious_act_together_and_know_what_the_setting_says(knowledge: Knowledge, known: list[int]) -> None:
    attack = Spy(knowledge=knowledge)
    attackers = Attackers(frozenset({1, 3}), attack)
    sent = attackers.alter([update(i, 1.0) for i in range(4)], ROUND)
    assert attack.seen == ([1, 3], known)
    assert [float(u.state["w"][0]) for u in sent] == [1.0, 2.0, 1.0, 2.0]
    assert [float(u.state["running_mean"][0]) for u in sent] == [-1.0] * 4, "buffers stay"
    assert [(r.client, r.relative_norm, r.share_changed) for r in attackers.reports] == [(1, 1.0, 1.0), (3, 1.0, 1.0)]


def test_outside_its_window_nobody_alters_anything() -> None:
    attackers = Attackers(frozenset({1}), Spy(start=1, stop=6, every=2))
    acted = []
    for t in range(8):
        attackers.alter([update(0, 1.0), update(1, 1.0)], replace(ROUND, index=t))
        acted.append(bool(attackers.reports))
    assert acted == [False, True, False, True, False, True, False, False]


def test_an_attack_that_changes_nothing_ends_the_run() -> None:
    with pytest.raises(ValueError, match="^update_attack: changed no update of malicious clients 1 in round 3$"):
        Attackers(frozenset({1}), Scaling(factor=1.0)).alter([update(0, 1.0), update(1, 1.0)], ROUND)


@pytest.mark.parametrize("window", [{"start": -1}, {"stop": 0}, {"start": 4, "stop": 4}, {"every": 0}, {"start": True}])
def test_impossible_windows_are_refused(window: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="^(start|stop|every) must be"):
        Window(**window)


@pytest.mark.parametrize(
    ("window", "rounds"),
    [
        (Window(), [0, 1, 2, 3, 4, 5, 6, 7]),
        (Window(start=2, stop=5), [2, 3, 4]),
        (Window(start=1, every=3), [1, 4, 7]),
        (Window(start=1, stop=7, every=3), [1, 4]),
        (Window(stop=1), [0]),
    ],
)
def test_a_window_covers(window: Window, rounds: list[int]) -> None:
    assert [t for t in range(8) if window.covers(t)] == rounds


def test_a_window_that_opens_too_late_is_named_by_its_start() -> None:
    Window(start=4).check_reached(5)
    with pytest.raises(ValueError, match="^start must be below fl.rounds=5, or the attack never acts; got 5$"):
        Window(start=5).check_reached(5)


def test_a_window_with_the_rounds_alone_in_which_nothing_can_be_done_is_refused() -> None:
    Window(stop=2).check_reached(5, first=1, why="after round 0")
    Window(start=4).check_reached(5, first=1, why="after round 0")
    for window, rounds in ((Window(stop=1), 5), (Window(), 1), (Window(every=5), 5)):
        said = f"^start must be such that the attack acts after round 0, in fl.rounds={rounds}; got 0$"
        with pytest.raises(ValueError, match=said):
            window.check_reached(rounds, first=1, why="after round 0")


def test_who_is_malicious() -> None:
    assert choose_malicious([3, 1], num_clients=5, seed=0) == {1, 3}
    assert choose_malicious([], num_clients=4, seed=0) == frozenset()
    three = [choose_malicious(3, num_clients=8, seed=seed) for seed in range(20)]
    assert all(len(ids) == 3 and ids <= set(range(8)) for ids in three)
    assert three[4] == choose_malicious(3, num_clients=8, seed=4)
    assert len(choose_malicious(2, num_clients=5, seed=0)) == 2, "the largest minority"
    drawn = {choose_malicious(1, num_clients=4, seed=seed) for seed in range(30)}
    assert drawn == {frozenset({i}) for i in range(4)}
    assert choose_malicious(0, num_clients=1, seed=0) == frozenset()
    assert choose_malicious([0], num_clients=4, seed=0) == {0}, "ids are counted from 0"
    two = choose_malicious([3, 1], num_clients=8, seed=0)
    assert (two, type(two)) == ({1, 3}, frozenset)


@pytest.mark.parametrize("malicious", [2, -1, [0, 1], [4], [1, 1], "1", True, [0.5], None])
def test_half_or_more_or_no_clients_of_the_federation_are_refused(malicious: object) -> None:
    with pytest.raises(
        ValueError, match=r"^fl.malicious must be a number of at most 1 \(fewer than half of fl.num_clients=4\)"
    ):
        choose_malicious(malicious, num_clients=4, seed=0)
    with pytest.raises(ValueError, match=r"^fl.malicious .*; got \[1, 1\]$"):  # which is not too long
        choose_malicious([1, 1], num_clients=8, seed=0)


def test_a_round_moves_and_measures_parameters_alone() -> None:
    delta = ROUND.delta(update(0, 2.5).state)
    assert delta.keys() == {"w"}
    again = ROUND.moved(delta, update(0, 2.5).state)
    assert all(torch.equal(again[name], tensor) for name, tensor in update(0, 2.5).state.items())
    stream = ROUND.rng("defense", "noise")
    assert torch.equal(
        torch.rand(3, generator=stream), torch.rand(3, generator=keyed_generator(7, "defense", "noise", "round", 3))
    )
    unseeded = Round(3, START, frozenset(), num_clients=4).rng("noise")
    assert torch.equal(
        torch.rand(3, generator=unseeded), torch.rand(3, generator=keyed_generator(0, "noise", "round", 3))
    )


def test_a_client_with_a_single_image_is_refused() -> None:
    images = ImageSet(torch.zeros(3, 1, 4, 4, dtype=torch.uint8), torch.tensor([0, 1, 0]), ("a", "b"))
    shares = [images, images.subset(torch.tensor([0]))]
    with pytest.raises(ValueError, match="^partition must be one that gives every client at least 2 images"):
        check_enough(shares)


# Whole runs.


def test_scaled_updates_leave_their_receipts(configure: Configure, tmp_path: Path) -> None:
    cfg = configure("attack=none", "update_attack=scaling", "update_attack.factor=3", "update_attack.start=1")
    summary = training.train(cfg, tmp_path / "run")
    (malicious,) = summary["malicious"]
    found = {row["measure"]: float(row["value"]) for row in rows(tmp_path / "run" / "receipts.csv")}
    assert {row["round"] for row in rows(tmp_path / "run" / "receipts.csv")} == {"1"}
    assert {row["client"] for row in rows(tmp_path / "run" / "receipts.csv")} == {str(malicious)}
    assert found["relative_norm"] == pytest.approx(2.0, abs=1e-5), "|3 d - d| / |d|"
    assert found["cosine"] == pytest.approx(1.0, abs=1e-6)


def test_an_attack_on_updates_touches_no_stream_of_local_training(configure: Configure, tmp_path: Path) -> None:
    """Round 0 is trained from the same state, so that all losses are the same with and without it."""
    for name, settings in {"with": ("update_attack=scaling",), "without": ()}.items():
        training.train(configure("fl.rounds=1", *settings), tmp_path / name)
    tables = [
        [(row["client"], row["loss_g"], row["loss_d"]) for row in rows(tmp_path / name / "clients.csv")]
        for name in ("with", "without")
    ]
    assert tables[0] == tables[1]


def test_an_attack_on_images_touches_no_stream_of_benign_clients(configure: Configure, tmp_path: Path) -> None:
    for name, settings in {"with": (), "without": ("attack=none",)}.items():
        training.train(configure("fl.rounds=1", *settings), tmp_path / name)
    attacked, clean = (rows(tmp_path / name / "clients.csv") for name in ("with", "without"))
    same = [mine["loss_g"] == other["loss_g"] for mine, other in zip(attacked, clean, strict=True)]
    assert [row["malicious"] == "0" for row in attacked] == same


def test_images_are_poisoned_in_the_rounds_of_the_window_alone(configure: Configure, tmp_path: Path) -> None:
    training.train(configure("fl.rounds=3", "attack.start=1", "attack.stop=2"), tmp_path / "run")
    malicious = [row for row in rows(tmp_path / "run" / "clients.csv") if row["malicious"] == "1"]
    poisoned = [(row["round"], row["poisoned_images"]) for row in malicious]
    assert poisoned == [("0", "0"), ("1", "16"), ("2", "0")]
    training.train(configure("fl.rounds=1", "attack=none"), tmp_path / "clean")
    first, clean = (rows(tmp_path / name / "rounds.csv")[0]["loss_g"] for name in ("run", "clean"))
    assert first == clean, "before the window nothing differs"


def test_a_window_after_the_last_round_is_refused(configure: Configure, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="below fl.rounds=2, or the attack never acts; got 2"):
        training.train(configure("attack.start=2"), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_clients_with_fewer_images_than_a_batch_train_on_all_they_have(configure: Configure, tmp_path: Path) -> None:
    for backend in ("serial", "vectorized"):
        settings = ("fl.batch_size=14", "fl.num_clients=5", "fl.local_epochs=2", f"fl/backend={backend}")
        training.train(configure(*settings), tmp_path / backend)
        timing = rows(tmp_path / backend / "timing.csv")
        assert [int(row["images"]) for row in timing] == [2 * 64] * 2, "12 images for one, 13 for four"
    one, other = (rows(tmp_path / backend / "clients.csv") for backend in ("serial", "vectorized"))
    for mine, others in zip(one, other, strict=True):
        assert float(mine["loss_d"]) == pytest.approx(float(others["loss_d"]), abs=1e-3)


def test_run_json_says_who_has_which_images(configure: Configure, tmp_path: Path) -> None:
    training.train(configure("fl.rounds=1"), tmp_path / "run")
    record = json.loads((tmp_path / "run/run.json").read_text())
    table = record["partition"]
    assert {name: sum(counts) for name, counts in table.items()} == {"normal": 32, "pneumonia": 32}
    assert [sum(each) for each in zip(*table.values(), strict=True)] == [16] * 4
    assert len(record["malicious"]) == len(record["poison_reports"]) == 1


def test_centralized_training_is_a_client_alone(configure: Configure, tmp_path: Path) -> None:
    """One client that always starts from its own last state, as if it had never sent it away."""
    cfg = configure("fl=centralized", "attack=none", "fl.rounds=3", "fl.batch_size=8")
    parts = training.build_parts(cfg, tmp_path / "one")
    alone = parts.federation.backend.algorithm.client()  # type: ignore[attr-defined]
    for t in range(3):
        rng = keyed_generator(0, "client", 0, "round", t)
        alone.train_locally(parts.federated_data.clients[0].clean, epochs=1, batch_size=8, rng=rng)
    training.train(cfg, tmp_path / "run")
    whole = training.build_parts(cfg, tmp_path / "run").federation.generator
    whole.load_state_dict(load_file(tmp_path / "run/generator.safetensors"))
    for name, tensor in whole.state_dict().items():
        torch.testing.assert_close(tensor, alone.generator.state_dict()[name], rtol=1e-4, atol=1e-5)
    assert {row["weight"] for row in rows(tmp_path / "run" / "clients.csv")} == {"1.0"}


def test_without_an_attack_nobody_is_malicious(configure: Configure, tmp_path: Path) -> None:
    assert training.train(configure("attack=none", "fl.rounds=1"), tmp_path / "run")["malicious"] == []
