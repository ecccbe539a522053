"""FLTrust: the rule by hand, and the server's own client in a federation."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from omegaconf import DictConfig

from fedgan.config import training
from fedgan.config.building.defenses import build_defenses
from fedgan.core.rng import keyed_generator
from fedgan.core.round import Round
from fedgan.core.update import ClientUpdate, State, state_hash, weighted_mean
from fedgan.defenses.base import Decision
from fedgan.defenses.robust.fltrust import FLTrust, trust_scores
from fedgan.federated.serial import SerialBackend
from tests.helpers.federation import build, fit, sabotage, spoil
from tests.helpers.images import random_images
from tests.helpers.runs import rows

Configure = Callable[..., DictConfig]
TRUST = ("defense=fltrust", "defense.fltrust.images_per_class=8", "dataset.train_per_class=40")


def serve(
    deltas: list[list[float]], root: list[float], start: tuple[float, ...] = (0.0, 0.0), rule: FLTrust | None = None
) -> tuple[dict[str, Any], Decision, FLTrust]:
    """The rule's round, with a parameter ``w`` and a buffer ``b`` that tells the clients apart (client i: i + 1)."""
    rule, reference = rule or FLTrust(), {"w": torch.tensor(start), "b": torch.zeros(1)}

    def state(delta: list[float], buffer: float) -> State:
        return {"w": reference["w"] + torch.tensor(delta), "b": torch.tensor([buffer])}

    updates = [ClientUpdate(i, 8, state(delta, i + 1.0), {}) for i, delta in enumerate(deltas)]
    round_ = Round(0, reference, frozenset({"w"}), num_clients=len(deltas), root=state(root, 99.0))
    filtered = rule.filter(updates, round_)
    decision = rule.reweight(filtered, {u.client_id: 1 / len(updates) for u in updates}, round_)
    aggregate = weighted_mean([u.state for u in filtered], [decision.weights[u.client_id] for u in filtered])
    return aggregate, decision, rule


def test_the_published_rule_by_hand() -> None:
    """TS = 1, 0, 0, 0.7071; every update has the length of the server's, 1, before it is weighed."""
    aggregate, decision, rule = serve([[2, 0], [0, 3], [-1, 0], [1, 1]], [1, 0])
    assert aggregate["w"].tolist() == pytest.approx([0.8787, 0.2929], abs=1e-4)
    assert [decision.weights[i] for i in range(4)] == pytest.approx([0.5858, 0, 0, 0.4142], abs=1e-4)
    assert decision.flagged == {1, 2}
    assert aggregate["b"].item() == pytest.approx(0.5858 * 1 + 0.4142 * 4, abs=1e-3), "no trace of 1, 2 or the server"
    assert dict(rule.receipt()) == pytest.approx({"trust_min": 0, "trust_mean": 0.4268, "trust_max": 1}, abs=1e-4)


def test_it_is_not_fedavg() -> None:
    """A public implementation never set the server's update and was the plain mean all along."""
    deltas = [[2.0, 0], [0, 3.0], [-1.0, 0], [1.0, 1.0]]
    assert serve(deltas, [1, 0])[0]["w"].tolist() != pytest.approx(np.mean(deltas, axis=0).tolist(), abs=0.1)
    assert serve(deltas, [0, 1])[0]["w"].tolist() != pytest.approx(serve(deltas, [1, 0])[0]["w"].tolist(), abs=0.1)


def test_numpy_agrees_on_random_updates() -> None:
    rng = np.random.default_rng(0)
    for clients in (1, 4, 9):
        deltas, root, start = rng.normal(size=(clients, 5)), rng.normal(size=5), rng.normal(size=5)
        scores = np.maximum(deltas @ root / np.linalg.norm(deltas, axis=1) / np.linalg.norm(root), 0)
        if not scores.any():
            continue
        scaled = deltas * (np.linalg.norm(root) / np.linalg.norm(deltas, axis=1))[:, None]
        expected = start + scores @ scaled / scores.sum()
        aggregate, _, _ = serve(deltas.tolist(), root.tolist(), tuple(start))
        np.testing.assert_allclose(aggregate["w"], expected, rtol=1e-4, atol=1e-5)


def test_nobody_is_trusted() -> None:
    aggregate, decision, _ = serve([[-1, 0], [0, 0]], [1, 0], start=(5.0, 7.0))
    assert aggregate["w"].tolist() == [5, 7]
    assert aggregate["b"].item() == 0, "the reference's"
    assert decision == Decision({0: 0.5, 1: 0.5})


def test_what_is_handed_to_the_next_rule_is_nowhere_longer_than_the_servers_update() -> None:
    """A rule without weights, such as a median, sees those who are not trusted too: as the reference."""
    start = torch.tensor([5.0, 7.0])
    deltas = [[-1000.0, 0.0], [0.0, 9.0], [30.0, 40.0], [0.0, 0.0]]
    updates = [ClientUpdate(i, 8, {"w": start + torch.tensor(delta)}, {}) for i, delta in enumerate(deltas)]
    root = {"w": start + torch.tensor([2.0, 0.0])}
    round_ = Round(0, {"w": start}, frozenset({"w"}), num_clients=4, root=root)
    moved = [(update.state["w"] - start).tolist() for update in FLTrust().filter(updates, round_)]
    assert moved[:2] + moved[3:] == [[0.0, 0.0]] * 3
    assert moved[2] == pytest.approx([1.2, 1.6]), "(30, 40) with length 2"


def test_a_server_that_does_not_move_trusts_nobody() -> None:
    aggregate, decision, _ = serve([[1, 2], [3, 4]], [0, 0])
    assert aggregate["w"].tolist() == [0, 0]
    assert not decision.flagged


def test_equal_updates_come_out_as_they_are() -> None:
    aggregate, decision, _ = serve([[3, 4]] * 3, [3, 4], start=(1.0, 1.0))
    assert aggregate["w"].tolist() == pytest.approx([4, 5])
    assert not decision.flagged
    assert list(decision.weights.values()) == pytest.approx([1 / 3] * 3)


def test_what_is_added_to_all_states_is_added_to_the_aggregate() -> None:
    deltas = [[2.0, 0.5], [0.5, 3.0], [-1.0, 0.25]]
    plain, shifted = serve(deltas, [1, 0.5]), serve(deltas, [1, 0.5], start=(4.0, -8.0))
    np.testing.assert_allclose(shifted[0]["w"], plain[0]["w"] + torch.tensor([4.0, -8.0]), atol=1e-5)
    assert shifted[1].flagged == plain[1].flagged


def test_who_is_who_does_not_matter() -> None:
    deltas = [[2.0, 0.5], [0.5, 3.0], [-1.0, 0.25]]
    plain, turned = serve(deltas, [1, 0.5])[1].weights, serve(deltas[::-1], [1, 0.5])[1].weights
    assert [turned[2 - i] for i in range(3)] == pytest.approx([plain[i] for i in range(3)])


def test_scores_are_cosines_cut_at_zero_and_one() -> None:
    updates = np.array([[1e-3, 1e-3], [2e-3, 2e-3], [0, 0], [-1, 0], [1e-3, 1e-3]])
    assert trust_scores(updates @ updates.T) == [pytest.approx(1), pytest.approx(1), 0.0, 0.0]
    assert max(trust_scores(updates @ updates.T)) <= 1.0


def trusting(configure: Configure, *overrides: str) -> Any:
    cfg = configure(*TRUST, *overrides)
    images = random_images(16, seed=9)
    return build(cfg, defenses=build_defenses(cfg), server_images=images), images


@pytest.mark.parametrize("backend", ["serial", "vectorized"])
def test_the_server_trains_as_a_client_would(configure: Configure, tmp_path: Path, backend: str) -> None:
    """From the same reference, as many epochs, with a discriminator that it keeps: written out by hand."""
    settings = ("fl.local_epochs=2", f"fl/backend={backend}")
    federation, images = trusting(configure, *settings)
    plain, _ = trusting(configure, *settings)
    lone = plain.backend.clients[4]
    start = {name: tensor.clone() for name, tensor in federation.generator.state_dict().items()}
    lone.generator.load_state_dict(start)
    lone.train_locally(images, epochs=2, batch_size=8, rng=keyed_generator(0, "client", 4, "round", 0))
    fit(federation, tmp_path, rounds=1)
    assert [update.client_id for update in federation.updates] == [0, 1, 2, 3]
    expected = dict(lone.generator.named_parameters())
    moved = torch.cat([(tensor - start[name]).flatten() for name, tensor in expected.items()])
    apart = torch.cat([(federation.root.state[name] - tensor).flatten() for name, tensor in expected.items()])
    # Vectorized, equal but for rounding, which Adam turns into whole steps where a gradient is zero.
    assert apart.norm() <= (0 if backend == "serial" else 0.25) * moved.norm()
    assert moved.norm() > 0
    assert federation.fine_tuning_start is None
    assert federation.backend.epochs_of(4) == federation.backend.epochs_of(0) == 2


def test_a_run(configure: Configure, tmp_path: Path) -> None:
    summary = training.train(configure(*TRUST, "fl.rounds=3"), tmp_path / "run")
    clients, rounds = rows(tmp_path / "run" / "clients.csv"), rows(tmp_path / "run" / "rounds.csv")
    assert {row["client"] for row in clients} == {"0", "1", "2", "3"}, "the server is no client"
    assert {row["num_examples"] for row in clients} == {"16"}  # (80 - 16) / 4
    assert [row["round"] for row in rounds] == ["0", "1", "2"]
    assert (summary["rounds"], summary["fine_tuning_rounds"]) == (3, 0)
    assert set(summary["weights"]) == {"0", "1", "2", "3"}
    shown = {row["measure"]: float(row["value"]) for row in rows(tmp_path / "run" / "receipts.csv")}
    assert shown["acted"] == 1
    assert 0 <= shown["trust_min"] <= shown["trust_mean"] <= shown["trust_max"] <= 1
    flagged = [row for row in clients if row["flagged"] == "1"]
    assert all(float(row["weight"]) == 0 for row in flagged) or len(flagged) % 4 == 0


def test_resumed_to_the_bit(configure: Configure, tmp_path: Path) -> None:
    once = training.train(configure(*TRUST, "fl.rounds=4"), tmp_path / "once")
    training.train(configure(*TRUST, "fl.rounds=2"), tmp_path / "twice")
    again = training.train(configure(*TRUST, "fl.rounds=4", f"resume={tmp_path / 'twice'}"), tmp_path / "twice")
    assert again["generator_sha256"] == once["generator_sha256"]
    assert rows(tmp_path / "once" / "clients.csv") == rows(tmp_path / "twice" / "clients.csv")


def test_a_few_clients_per_round_and_the_server(configure: Configure, tmp_path: Path) -> None:
    training.train(configure(*TRUST, "fl.rounds=3", "fl.clients_per_round=2"), tmp_path / "run")
    clients = rows(tmp_path / "run" / "clients.csv")
    assert [sum(row["round"] == str(t) for row in clients) for t in range(3)] == [2, 2, 2]
    index = torch.load(next((tmp_path / "run" / "checkpoints").glob("round_*.ckpt")), weights_only=True)["clients"]
    assert index[4] == 2, "its discriminator is kept from round to round"


def test_a_round_without_the_servers_update_is_repeated_and_given_up(
    configure: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sabotage(monkeypatch, lambda backend, round_, client_id: client_id == 4, spoil)
    federation, _ = trusting(configure, "fl.max_retries=1")
    said = "4 of 4 updates can be used, fl.min_clients=1, and the server's own cannot"
    with pytest.raises(ValueError, match=f"round 0 was tried 2 times and given up: {said}"):
        fit(federation, tmp_path, rounds=1)


def test_the_server_is_not_late(configure: Configure, monkeypatch: pytest.MonkeyPatch) -> None:
    federation, _ = trusting(configure, "fl.straggler_timeout=0.000001")
    updates, events = federation.backend.train([0, 4], federation.this_round())
    assert [update.client_id for update in updates] == [4]
    assert [event.kind for event in events] == ["late"]


def test_attackers_do_not_see_what_the_server_trains(configure: Configure, tmp_path: Path) -> None:
    seen: list[Mapping[str, Any]] = []
    federation, _ = trusting(configure)
    original = federation.attackers.alter

    def alter(updates: Any, round_: Round) -> Any:
        seen.append({"ids": [u.client_id for u in updates], "root": round_.root})
        return original(updates, round_)

    federation.attackers.alter = alter
    fit(federation, tmp_path, rounds=2)
    assert seen == [{"ids": [0, 1, 2, 3], "root": None}] * 2


@pytest.mark.usefixtures("forked_processes")
def test_several_processes_make_the_same_bits(configure: Configure, tmp_path: Path) -> None:
    one = training.train(configure(*TRUST), tmp_path / "one")
    two = training.train(configure(*TRUST, "trainer.devices=2"), tmp_path / "two")
    assert one["generator_sha256"] == two["generator_sha256"]


def test_more_images_than_there_are(configure: Configure, tmp_path: Path) -> None:
    said = "defense.fltrust.images_per_class must be at most 40, the training images of class"
    with pytest.raises(ValueError, match=said):
        training.train(configure(*TRUST, "defense.fltrust.images_per_class=41"), tmp_path / "run")


def test_two_that_set_images_apart(configure: Configure, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="defense must be at most one that sets images apart for the server"):
        training.train(configure("defense=[fltrust,reconstruction]"), tmp_path / "run")


def test_the_federation_without_it_is_as_it_was(configure: Configure, tmp_path: Path) -> None:
    plain = build(configure())
    fit(plain, tmp_path, rounds=1)
    assert plain.root is None
    assert isinstance(plain.backend, SerialBackend)
    assert state_hash(plain.this_round().reference) == state_hash(plain.generator.state_dict())


def test_the_record_says_how_many_images_the_server_has(configure: Configure, tmp_path: Path) -> None:
    training.train(configure(*TRUST, "fl.rounds=1"), tmp_path / "run")
    partition = json.loads((tmp_path / "run" / "run.json").read_text())["partition"]
    assert {name: sum(counts) for name, counts in partition.items()} == dict.fromkeys(partition, 32)
