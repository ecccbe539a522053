"""The malicious clients at work: what an attack is told before and during a run, what must come of it, its memory."""

import csv
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from omegaconf import DictConfig

from fedgan.config import training
from fedgan.config.building.attackers import build_attackers
from fedgan.core.round import Round
from fedgan.core.update import ClientUpdate
from fedgan.federated.attackers import Attackers
from fedgan.update_attacks.base import UpdateAttack
from fedgan.update_attacks.scaling import Scaling
from tests.helpers.federation import build
from tests.helpers.runs import rows
from tests.helpers.updates import around, client

Configure = Callable[..., DictConfig]
ROUND = around()
UPDATES = [client(i, [1.0, float(i)], ROUND, {"loss_g": float(i), "loss_d": 1.0}) for i in range(4)]
ONE = frozenset({1})


class Recording(UpdateAttack):
    """Notes what it is called with and adds 1 to the parameters, but rests in the rounds that it is given."""

    def __init__(self, rested: Sequence[int] = (), **window: Any) -> None:
        super().__init__(**window)
        self.rested, self.watched, self.sizes = rested, [], {}  # type: ignore[var-annotated]

    def setup(self, **sizes: int) -> None:
        self.sizes = sizes

    def watch(self, round_: Round) -> None:
        self.watched.append(round_.index)

    def rests(self, own: Any, known: Any, round_: Round) -> bool:
        return round_.index in self.rested

    def alter(self, own: Any, known: Any, round_: Round) -> Sequence[ClientUpdate]:
        deltas = [{name: d + 1 for name, d in round_.delta(u.state).items()} for u in own]
        return [replace(u, state=round_.moved(d, u.state)) for u, d in zip(own, deltas, strict=True)]

    def state_dict(self) -> dict[str, Any]:
        return {"watched": list(self.watched)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.watched = list(state["watched"])


def test_an_attack_hears_the_sizes_of_its_federation_and_the_control_does_not(configure: Configure) -> None:
    cfg = configure("fl.num_clients=5", "fl.clients_per_round=3", "fl.rounds=7")
    attack = Recording()
    build_attackers(cfg, frozenset({1, 4}), attack)
    assert attack.sizes == {"num_clients": 5, "num_malicious": 2, "clients_per_round": 3, "rounds": 7}
    control = Recording()
    build_attackers(cfg, frozenset(), control)
    assert control.sizes == {}
    everyone = Recording()
    build_attackers(configure(), ONE, everyone)
    assert everyone.sizes["clients_per_round"] == 4


def test_what_an_attack_refuses_is_named_by_its_place(configure: Configure) -> None:
    class Refusing(UpdateAttack):
        def setup(self, **sizes: int) -> None:
            raise ValueError("strength must be 1; got 2")

    with pytest.raises(ValueError, match="^update_attack.strength must be 1; got 2$"):
        build_attackers(configure(), ONE, Refusing())


def test_each_round_is_watched_once_also_outside_the_window_and_when_it_is_repeated() -> None:
    attack = Recording(start=2, every=2)
    attackers = Attackers(ONE, attack)
    for t in (0, 0, 1, 2, 2, 3):
        attackers.alter(UPDATES, replace(ROUND, index=t))
        assert bool(attackers.reports) == (t == 2)
    attackers.alter([UPDATES[0]], replace(ROUND, index=4))  # nobody malicious takes part
    assert attack.watched == [0, 1, 2, 3, 4]
    control = Recording()
    Attackers(frozenset(), control).alter(UPDATES, ROUND)
    assert control.watched == [], "the control costs nothing"


def test_a_round_may_be_rested_in_but_not_all_of_them() -> None:
    attackers = Attackers(ONE, Recording(rested=[0, 2]))
    attackers.setup(num_clients=4, clients_per_round=4, rounds=3)
    for t, acted in enumerate((False, True, False)):
        sent = attackers.alter(UPDATES, replace(ROUND, index=t))
        assert [new is old for new, old in zip(sent, UPDATES, strict=True)] == [True, not acted, True, True]
        assert bool(attackers.reports) == acted
    idle = Attackers(ONE, Recording(rested=[0, 1, 2]))
    idle.setup(num_clients=4, clients_per_round=4, rounds=3)
    idle.alter(UPDATES, ROUND)
    idle.alter(UPDATES, replace(ROUND, index=1))
    with pytest.raises(ValueError, match="^update_attack: changed no update in any round$"):
        idle.alter(UPDATES, replace(ROUND, index=2))


def test_malicious_clients_that_never_take_part_are_no_fault() -> None:
    absent = Attackers(ONE, Recording())
    absent.setup(num_clients=4, clients_per_round=3, rounds=1)
    assert absent.alter(UPDATES[2:], ROUND) == UPDATES[2:]


def test_a_process_that_never_sees_an_update_refuses_nothing() -> None:
    """With several processes the attack acts in the first alone: after a resume too the others cannot know it."""
    other = Attackers(ONE, Recording(rested=[0]))
    other.setup(num_clients=4, clients_per_round=4, rounds=2)
    other.load_state_dict({"attack": {"watched": [0]}, "acted": False, "rested": True})
    assert other.alter([], around(index=1)) == []


def test_whether_it_has_ever_acted_survives_an_interruption() -> None:
    before = Attackers(ONE, Recording(rested=[1]))
    before.alter(UPDATES, ROUND)
    after = Attackers(ONE, Recording(rested=[1]))
    after.setup(num_clients=4, clients_per_round=4, rounds=2)
    after.load_state_dict(before.state_dict())
    after.alter(UPDATES, replace(ROUND, index=1))
    assert after.attack.state_dict() == {"watched": [0, 1]}


class Lying(UpdateAttack):
    """Reports a loss of 7."""

    def alter(self, own: Any, known: Any, round_: Round) -> Sequence[ClientUpdate]:
        return [replace(u, metrics={**u.metrics, "loss_g": 7.0}) for u in own]


def test_changed_scalars_count_as_a_change() -> None:
    attackers = Attackers(ONE, Lying())
    sent = attackers.alter(UPDATES, ROUND)
    assert [u.metrics["loss_g"] for u in sent] == [0.0, 7.0, 2.0, 3.0]
    (report,) = attackers.reports
    assert (report.metrics_changed, report.share_changed, report.relative_norm) == (1, 0.0, 0.0)
    with pytest.raises(ValueError, match="^update_attack: changed no update of malicious clients 1 in round 0$"):
        attackers.alter(sent, ROUND)


def test_honest_updates_are_the_same_objects_and_as_they_were() -> None:
    class InPlace(UpdateAttack):
        knowledge = "all"

        def alter(self, own: Any, known: Any, round_: Round) -> Sequence[ClientUpdate]:
            known[0].state["first"].add_(1.0)
            return [replace(own[0], state={name: tensor + 1 for name, tensor in own[0].state.items()})]

    sent = Attackers(ONE, Recording()).alter(UPDATES, ROUND)
    assert [new is old for new, old in zip(sent, UPDATES, strict=True)] == [True, False, True, True]
    copies = [client(i, [1.0, 1.0], ROUND) for i in range(4)]
    with pytest.raises(ValueError, match="^update_attack: alter must leave the states that it is given as they are$"):
        Attackers(ONE, InPlace()).alter(copies, ROUND)


def test_a_huge_factor_leaves_no_nan_in_the_receipts(configure: Configure, tmp_path: Path) -> None:
    """Beyond float32 the update is left out, which events.csv says; below, all numbers are finite."""
    settings = ("attack=none", "update_attack=scaling", "fl.malicious=[1]", "fl.rounds=1")
    training.train(configure(*settings, "update_attack.factor=1e300"), tmp_path / "beyond")
    assert rows(tmp_path / "beyond" / "receipts.csv") == []
    assert [e["kind"] for e in rows(tmp_path / "beyond" / "events.csv") if e["client"] == "1"] == ["bad_update"]
    start = {"w": torch.zeros(2)}
    trained = ClientUpdate(1, 8, {"w": torch.tensor([1.0, 0.0])}, {})
    attackers = Attackers(ONE, Scaling(factor=1e38))
    attackers.alter([trained], Round(0, start, frozenset({"w"}), num_clients=4))
    (report,) = attackers.reports
    assert report.relative_norm == pytest.approx(1e38, rel=1e-6)
    assert report.cosine == pytest.approx(1.0)
    assert math.isfinite(report.relative_norm)


def test_receipts_have_the_changed_scalars(configure: Configure, tmp_path: Path) -> None:
    training.train(configure("update_attack=scaling", "fl.rounds=1"), tmp_path / "run")
    with (tmp_path / "run" / "receipts.csv").open() as file:
        found = {row["measure"]: row["value"] for row in csv.DictReader(file)}
    assert found["metrics_changed"] == "0"
    assert list(found) == ["relative_norm", "share_changed", "cosine", "metrics_changed"]


def test_checkpoints_have_the_attacks_memory(configure: Configure, monkeypatch: pytest.MonkeyPatch) -> None:
    federation = build(configure("fl.malicious=[1]"), update_attack=Recording())
    checkpoint: dict[str, Any] = {}
    for name in ("keep", "index", "rewind"):  # of the clients, whose files are another matter
        monkeypatch.setattr(federation.backend, name, lambda *given: {})
    monkeypatch.setattr(federation, "_trainer", SimpleNamespace(strategy=SimpleNamespace(barrier=int), current_epoch=1))
    federation.attackers.alter(UPDATES, ROUND)
    federation.on_save_checkpoint(checkpoint)
    assert checkpoint["attackers"] == {"attack": {"watched": [0]}, "acted": True, "rested": False}
    federation.attackers.alter(UPDATES, replace(ROUND, index=1))
    federation.on_load_checkpoint({"clients": {}})  # of a version whose attacks had no memory
    assert federation.attackers.state_dict()["attack"] == {"watched": [0, 1]}
    federation.on_load_checkpoint(checkpoint)
    assert federation.attackers.state_dict() == checkpoint["attackers"]
