"""Losses like honest ones, and what a detector of losses then sees."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from omegaconf import DictConfig

from fedgan.config import training
from fedgan.core.rng import keyed_generator
from fedgan.core.update import ClientUpdate
from fedgan.defenses._loss_forest import isolation_outliers
from fedgan.federated.attackers import Attackers
from fedgan.update_attacks._hiding import imitated
from fedgan.update_attacks.loss_hiding import LossHiding
from tests.helpers.federation import FEDDETECT, sabotage
from tests.helpers.runs import rows
from tests.helpers.updates import around, client

Configure = Callable[..., DictConfig]
ROUND = around()
LOSSES = {0: 2.0, 2: 1.9, 3: 2.5}
HONEST = [client(i, [1.0, 1.0], ROUND, {"loss_g": loss, "loss_d": 10 * loss}) for i, loss in LOSSES.items()]
OWN = client(1, [7.0, 8.0], ROUND, {"loss_g": 9.0, "loss_d": 0.1, "mine": 4.0})


def test_by_hand() -> None:
    """Honest 2.0, 1.9, 2.5: 2.0; the state is sent as it was trained."""
    (sent,) = LossHiding(jitter=0.0).alter([OWN], [OWN, *HONEST], ROUND)
    assert sent.metrics == {"loss_g": 2.0, "loss_d": 20.0, "mine": 4.0}
    assert sent.state is OWN.state
    (report,) = reported(Attackers(frozenset({1}), LossHiding(jitter=0.0)))
    assert (report.metrics_changed, report.share_changed) == (2, 0.0)


def reported(attackers: Attackers) -> list[object]:
    attackers.alter([OWN, *HONEST], ROUND)
    return list(attackers.reports)


def test_with_jitter_no_rank_betrays_it_and_all_losses_stay_together() -> None:
    """Within the honest range, anywhere in it; loss_d is ten times loss_g for everybody."""
    found = np.array(
        [
            list(LossHiding().alter([OWN], [OWN, *HONEST], replace(ROUND, index=t))[0].metrics.values())[:2]
            for t in range(300)
        ]
    )
    np.testing.assert_allclose(found[:, 1], 10 * found[:, 0])
    assert 1.9 <= found[:, 0].min() < 1.91
    assert 2.45 < found[:, 0].max() <= 2.5
    assert 80 < (found[:, 0] > 2.0).sum() < 120, "towards one of three clients each time"
    assert len(np.unique(found[:, 0])) > 150, "and seldom the median itself"


def test_the_jitter_is_a_share_of_the_way() -> None:
    rngs = [keyed_generator(0, i) for i in range(200)]
    found = [imitated([{"x": 0.0}, {"x": 1.0}, {"x": -3.0}], jitter=0.1, rng=rng)["x"] for rng in rngs]
    assert -0.3 <= min(found) < -0.27
    assert 0.08 < max(found) <= 0.1


def test_the_jitter_comes_from_its_own_stream_alone() -> None:
    found = []
    for ambient in (0, 1):
        torch.manual_seed(ambient)
        found.append([imitated([{"x": float(i)} for i in range(50)], 1.0, keyed_generator(0, t)) for t in range(5)])
    assert found[0] == found[1]
    torch.manual_seed(1)
    undisturbed = torch.rand(())
    torch.manual_seed(1)
    imitated([{"x": 1.0}, {"x": 2.0}], 1.0, keyed_generator(0, 0))
    assert torch.rand(()) == undisturbed


def test_malicious_clients_imitate_the_honest_and_not_each_other() -> None:
    others = [OWN, replace(OWN, client_id=4, metrics={"loss_g": -50.0})]
    one, two = LossHiding().alter(others, [*others, *HONEST], ROUND)
    assert 1.9 <= one.metrics["loss_g"] <= 2.5
    assert 1.9 <= two.metrics["loss_g"] <= 2.5
    assert one.metrics["loss_g"] != two.metrics["loss_g"]
    assert two.metrics.keys() == {"loss_g"}, "no scalar that it has not"


def test_what_only_some_honest_clients_report_is_left() -> None:
    rng = torch.Generator()
    assert imitated([{"a": 1.0, "b": 2.0}, {"a": 1.0}], jitter=1.0, rng=rng) == {"a": 1.0}
    assert imitated([{"a": 3.0}], jitter=1.0, rng=rng) == {"a": 3.0}, "of one honest client the scalars are its own"


def test_it_rests_without_an_honest_client() -> None:
    assert LossHiding().rests([OWN], [OWN], ROUND)
    assert not LossHiding().rests([OWN], [OWN, HONEST[0]], ROUND)


def test_a_federation_in_which_it_never_meets_an_honest_client_is_refused() -> None:
    LossHiding().setup(num_clients=4, num_malicious=1, clients_per_round=2, rounds=2)
    with pytest.raises(ValueError, match="^fl.clients_per_round must be at least 2, so that the attack has an honest"):
        LossHiding().setup(num_clients=4, num_malicious=1, clients_per_round=1, rounds=2)


def test_no_client_sees_what_others_report() -> None:
    with pytest.raises(ValueError, match="^knowledge must be all: no client sees what others report; got 'own'$"):
        LossHiding(knowledge="own")


def test_in_words() -> None:
    assert str(LossHiding()) == "losses like honest ones"


def test_an_isolation_forest_no_longer_singles_it_out() -> None:
    """Of 40 rounds with an attacker's loss far off it was isolated in all; now no more often than an honest client."""
    rng = np.random.default_rng(0)
    before, after = np.zeros(8), np.zeros(8)
    for t in range(40):
        losses = [*rng.normal(2.0, 0.1, size=7), 9.0]
        updates = [client(i, [1.0, 1.0], ROUND, {"loss_g_final": loss}) for i, loss in enumerate(losses)]
        (hidden,) = LossHiding().alter(updates[7:], updates, replace(ROUND, index=t))
        before += isolation_outliers(losses, random_state=999, trees=20)
        after += isolation_outliers([*losses[:7], hidden.metrics["loss_g_final"]], random_state=999, trees=20)
    assert before[7] == 40
    assert after[7] <= after[:7].max()
    assert after[7] < 20


def test_feddetect_and_the_attack_in_one_federation(
    configure: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The malicious client's losses are made 50 higher: without hiding it is flagged in each round, with it in none."""

    def stand_out(trained: ClientUpdate) -> ClientUpdate:
        return replace(trained, metrics={name: value + 50 for name, value in trained.metrics.items()})

    sabotage(monkeypatch, lambda backend, round_, i: i == 1, stand_out)
    settings = (*FEDDETECT, "fl.malicious=[1]")
    flags = {}
    for hiding in ("none", "loss_hiding"):
        cfg = configure(*settings, "fl.rounds=4", f"update_attack={hiding}", "attack=white_square")
        training.train(cfg, tmp_path / hiding)
        clients = [row for row in rows(tmp_path / hiding / "clients.csv") if row["malicious"] == "1"]
        flags[hiding] = [row["flagged"] for row in clients][1:]
    assert flags["none"] == ["1", "1", "1"]
    assert flags["loss_hiding"] == ["0", "0", "0"]
    receipts = rows(tmp_path / "loss_hiding" / "receipts.csv")
    assert {row["value"] for row in receipts if row["measure"] == "metrics_changed"} == {"4"}
    assert {row["value"] for row in receipts if row["measure"] == "share_changed"} == {"0.0"}
