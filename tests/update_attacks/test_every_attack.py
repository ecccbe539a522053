"""What holds for each option of conf/update_attack, in whole runs and round by round."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from safetensors.torch import load_file

from fedgan.config import training
from fedgan.config.refusals import CONF
from fedgan.core.round import Round
from fedgan.core.update import ClientUpdate, state_hash
from fedgan.federated.attackers import Attackers
from fedgan.update_attacks.base import UpdateAttack
from tests.helpers.runs import outcome, resume, rows
from tests.helpers.updates import around, client, delta_of

Configure = Callable[..., DictConfig]
NAMES = sorted(file.stem for file in (CONF / "update_attack").glob("*.yaml") if file.stem != "none")
BASE = ("attack=none", "fl.malicious=[1]", "fl.rounds=2")
CHANGED = ("share_changed", "metrics_changed", "steps")
REMEMBERING = {
    "neurotoxin": ("update_attack=neurotoxin",),
    "free_rider": ("update_attack=free_rider",),
    "norm_bounded": ("update_attack=norm_bounded", "update_attack.knowledge=own"),
}


def attack_of(name: str, **settings: Any) -> UpdateAttack:
    cfg = OmegaConf.merge(OmegaConf.load(CONF / "update_attack" / f"{name}.yaml"), settings)
    attack: UpdateAttack = instantiate(cfg)
    return attack


def two_rounds(attack: UpdateAttack, base: float, ids: frozenset[int]) -> tuple[list[ClientUpdate], Round, Attackers]:
    """What arrives in round 1 of five clients, around a reference of ``base``."""
    rng, attackers = np.random.default_rng(5), Attackers(ids, attack)
    for index in range(2):
        round_ = around(width=6, index=index, base=base + index * 0.25, num_clients=5)
        updates = [
            client(i, rng.integers(-8, 9, 6).tolist(), round_, {"loss_g": float(rng.integers(1, 9))}) for i in range(5)
        ]
        sent = attackers.alter(updates, round_)
    altered = [new.client_id for new, old in zip(sent, updates, strict=True) if new is not old]
    assert altered == sorted(ids), "honest updates are the same objects"
    return sent, round_, attackers


@pytest.mark.parametrize("ids", [[1], [1, 2]])
@pytest.mark.parametrize("name", [name for name in NAMES if attack_of(name).alters])
def test_malicious_clients_alone_in_a_round_act_or_rest(name: str, ids: list[int]) -> None:
    """Whatever it takes from honest clients, a round without them does not stop the run."""
    attackers = Attackers(frozenset({1, 2}), attack_of(name))
    for index in range(2):
        round_ = around(width=6, index=index, base=1.0 + index * 0.25, num_clients=5)
        updates = [client(i, [3.0, 1.0, -2.0, i, 0.5, 1.0], round_, {"loss_g": float(i)}) for i in ids]
        attackers.alter(updates, round_)
    rests = {"loss_hiding"} | ({"norm_bounded", "little_is_enough", "min_max", "min_sum"} if len(ids) == 1 else set())
    assert bool(attackers.reports) == (name not in rests)


@pytest.mark.parametrize("name", [name for name in NAMES if attack_of(name).alters])
def test_it_acts_on_deltas_and_leaves_buffers(name: str) -> None:
    """Around another reference it does the same, as no rule does that takes states for deltas."""
    ids = frozenset({1, 3})
    at_one, at_five = (two_rounds(attack_of(name), base, ids) for base in (1.0, 5.0))
    for one, five in zip(at_one[0], at_five[0], strict=True):
        torch.testing.assert_close(delta_of(one, at_one[1]), delta_of(five, at_five[1]), rtol=1e-9, atol=1e-9)
    assert at_one[2].reports, "there is a receipt"
    assert all(report.changed for report in at_one[2].reports)


@pytest.mark.parametrize("name", NAMES)
def test_it_acts_in_the_rounds_that_were_set_and_by_default_in_all(name: str) -> None:
    """From 2 on and before 9, every third one; by default what the class says, without the configuration."""
    attack = attack_of(name, start=2, stop=9, every=3)
    assert [t for t in range(12) if attack.window.covers(t)] == [2, 5, 8]
    kind = type(attack)
    plain = kind(factor=2.0) if name == "scaling" else kind()  # type: ignore[call-arg]
    assert [t for t in range(5) if plain.window.covers(t)] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    "name", ["free_rider", "inner_product", "little_is_enough", "loss_hiding", "min_max", "min_sum", "norm_bounded"]
)
def test_what_it_knows_is_what_was_set_and_by_default_all(name: str) -> None:
    assert attack_of(name).knowledge == type(attack_of(name))().knowledge == "all"
    if name != "loss_hiding":  # which refuses to know its own alone
        assert attack_of(name, knowledge="own").knowledge == "own"


@pytest.mark.parametrize("name", NAMES)
def test_nobody_malicious_in_this_round(name: str) -> None:
    attackers = Attackers(frozenset({9}), attack_of(name))
    round_ = around(index=1)
    updates = [client(i, [1.0, float(i)], round_) for i in range(3)]
    assert all(new is old for new, old in zip(attackers.alter(updates, round_), updates, strict=True))


@pytest.fixture(scope="module")
def unattacked_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("unattacked") / "run"


@pytest.fixture
def unattacked(unattacked_once: Path, configure: Configure) -> Path:
    """The run of ``BASE`` without any attack."""
    if not unattacked_once.exists():
        training.train(configure(*BASE), unattacked_once)
    return unattacked_once


@pytest.mark.parametrize("name", NAMES)
def test_a_run_leaves_receipts_and_its_control_is_a_run_without(
    name: str, configure: Configure, tmp_path: Path, unattacked: Path
) -> None:
    """With it: what honest clients report in round 0 is the same. With nobody malicious: all but its name."""
    training.train(configure(*BASE, f"update_attack={name}"), tmp_path / "attacked")
    training.train(configure(*BASE, f"update_attack={name}", "fl.malicious=0"), tmp_path / "control")
    receipts = [row for row in rows(tmp_path / "attacked" / "receipts.csv") if row["component"] == "update_attack"]
    changed = [float(row["value"]) for row in receipts if row["measure"] in CHANGED]
    assert {row["client"] for row in receipts} == {"1"}
    assert sum(changed) > 0
    assert all(np.isfinite(float(row["value"])) for row in receipts)
    attacked, none = (rows(folder / "clients.csv") for folder in (tmp_path / "attacked", unattacked))
    first = [
        [row["loss_g"] for row in table if row["round"] == "0" and row["client"] != "1"] for table in (attacked, none)
    ]
    assert first[0] == first[1]
    control, without = outcome(tmp_path / "control"), outcome(unattacked)
    for each in (control, without):
        del each["config.yaml"], each["generator.safetensors"]  # which name the attack
    assert control == without
    generators = [load_file(folder / "generator.safetensors") for folder in (tmp_path / "control", unattacked)]
    assert state_hash(generators[0]) == state_hash(generators[1])


@pytest.mark.parametrize("name", REMEMBERING)
def test_a_run_that_is_resumed_is_the_same_to_the_bit(name: str, configure: Configure, tmp_path: Path) -> None:
    settings = (*BASE, *REMEMBERING[name])
    training.train(configure(*settings, "fl.rounds=4"), tmp_path / "straight")
    training.train(configure(*settings), tmp_path / "run")
    resume(configure, tmp_path / "run", "fl.rounds=4")
    assert outcome(tmp_path / "run") == outcome(tmp_path / "straight")


@pytest.mark.usefixtures("forked_processes")
@pytest.mark.parametrize("name", ["free_rider"])
def test_two_processes_are_one(name: str, configure: Configure, tmp_path: Path) -> None:
    """The malicious client lives in the second process."""
    settings = (*BASE, *REMEMBERING[name], "fl.rounds=3", "fl.batch_size=4")
    training.train(configure(*settings), tmp_path / "one")
    training.train(configure(*settings, "trainer.devices=2"), tmp_path / "two")
    one, two = (outcome(tmp_path / folder) for folder in ("one", "two"))
    del one["config.yaml"], two["config.yaml"]
    assert one == two


@pytest.mark.parametrize("name", ["little_is_enough", "min_max", "min_sum"])
def test_who_has_no_spread_to_know_is_refused_at_the_start(name: str, configure: Configure, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="^update_attack.knowledge must be all with fewer than 2 malicious clients"):
        training.train(configure(*BASE, f"update_attack={name}", "update_attack.knowledge=own"), tmp_path / "run")
    assert not (tmp_path / "run").exists()
    control = ("fl.malicious=0", "fl.rounds=1", f"update_attack={name}", "update_attack.knowledge=own")
    assert training.train(configure("attack=none", *control), tmp_path / "control")["malicious"] == []


@pytest.mark.parametrize(
    "name", ["little_is_enough", "inner_product", "min_sum", "neurotoxin", "loss_hiding", "norm_bounded"]
)
def test_with_some_clients_per_round_the_malicious_act_where_they_take_part(
    name: str, configure: Configure, tmp_path: Path
) -> None:
    sizes = ("fl.num_clients=7", "fl.clients_per_round=3", "fl.malicious=[0,3,4]", "fl.batch_size=2", "fl.rounds=6")
    training.train(configure("attack=none", *sizes, f"update_attack={name}"), tmp_path / "run")
    acted = {(row["round"], row["client"]) for row in rows(tmp_path / "run" / "receipts.csv")}
    present = [row for row in rows(tmp_path / "run" / "clients.csv") if row["malicious"] == "1"]
    taking_part = {(row["round"], row["client"]) for row in present}
    counts = {t: len([1 for t_, _ in taking_part if t_ == t]) for t, _ in taking_part}
    rested = {
        "little_is_enough": {t for t, count in counts.items() if 3 - count == 1},  # one honest client
        "min_sum": {t for t, count in counts.items() if 3 - count == 1},
        "neurotoxin": {"0"},
        "loss_hiding": {t for t, count in counts.items() if count == 3},
    }.get(name, set())
    assert acted == {(t, i) for t, i in taking_part if t not in rested}
    assert acted
    assert set(counts.values()) == {1, 2, 3}, "not the same number in each round"


def test_a_malicious_client_that_answers_alone_does_not_stop_the_run(configure: Configure, tmp_path: Path) -> None:
    """Half of the clients drop out: in some rounds the malicious one is the only one left, and rests."""
    settings = ("update_attack=norm_bounded", "fl.num_clients=3", "fl.dropout=0.5", "fl.rounds=8")
    training.train(configure(*BASE, *settings), tmp_path / "run")
    present: dict[str, set[str]] = {}
    for row in rows(tmp_path / "run" / "clients.csv"):
        present.setdefault(row["round"], set()).add(row["client"])
    acted = {row["round"] for row in rows(tmp_path / "run" / "receipts.csv")}
    assert {"1"} in present.values(), "alone once at least"
    assert acted == {t for t, clients in present.items() if "1" in clients and len(clients) > 1}


def test_an_attack_that_rests_in_all_rounds_fails_at_the_last(configure: Configure, tmp_path: Path) -> None:
    settings = (*BASE, "update_attack=norm_bounded", "update_attack.factor=1", "update_attack.radius=1e9")
    with pytest.raises(ValueError, match="^update_attack: changed no update in any round$"):
        training.train(configure(*settings), tmp_path / "run")
    assert len(rows(tmp_path / "run" / "rounds.csv")) == 1


def test_a_repeated_round_is_attacked_like_any_other() -> None:
    """The memory of the server's steps does not take a second try for a next round."""
    attack = attack_of("free_rider", form="previous_step")
    attackers = Attackers(frozenset({1}), attack)
    rounds = [around(index=t, base=float(t)) for t in (0, 1)]
    for round_ in (rounds[0], rounds[0], rounds[1], replace(rounds[1])):
        updates = [client(i, [3.0, float(i)], round_, {"loss_g": 1.0}) for i in range(4)]
        sent = attackers.alter(updates, round_)
    assert delta_of(sent[1], rounds[1]).tolist() == [1.0, 1.0]
