"""Detectors on recorded losses: as in the run that left them."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from omegaconf import DictConfig

from fedgan.config import training
from fedgan.config.building.component import instantiate
from fedgan.core.round import Round
from fedgan.core.update import ClientUpdate
from fedgan.defenses.audit.generator_audit import GeneratorAudit
from fedgan.defenses.base import Decision, Defense
from fedgan.defenses.feddetect_cusum import FedDetectCusum
from fedgan.defenses.replay import replay
from fedgan.defenses.robust.fltrust import FLTrust
from fedgan.defenses.robust.krum import Krum
from fedgan.defenses.robust.median import Median

# What a detector reads, and settings with which it flags somebody in a short run.
DETECTORS = {
    "feddetect": ("loss_g_final", {"warmup": 0, "samples": 8}),
    "feddetect_code": ("loss_g_last", {"warmup": 0}),
    "feddetect_mean": ("loss_g", {"warmup": 0}),
    "feddetect_grubbs": ("loss_g", {"warmup": 0, "alpha": 0.4}),
    "feddetect_cusum": ("loss_g", {"warmup": 0, "spread": 0.005}),
}


@pytest.mark.parametrize("name", DETECTORS)
def test_a_replay_of_a_runs_losses_is_its_decisions(
    name: str, configure: Callable[..., DictConfig], tmp_path: Path
) -> None:
    loss, settings = DETECTORS[name]
    typed = [f"defense={name}", *(f"defense.{name}.{key}={value}" for key, value in settings.items())]
    cfg = configure(*typed, "fl.rounds=6", "fl.num_clients=5", "fl.dropout=0.15", "fl.batch_size=4", "attack=none")
    training.train(cfg, tmp_path / "run")
    table = pd.read_csv(tmp_path / "run/clients.csv")
    losses = table.pivot(index="round", columns="client", values=loss).to_numpy()
    assert np.isnan(losses).any(), "somebody was absent"
    decisions = replay(instantiate(cfg.defense[name]), {loss: losses})
    flagged = [frozenset(own.client[own.flagged == 1]) for _, own in table.groupby("round")]
    assert [each.flagged for each in decisions] == flagged
    assert any(flagged)
    counts = [dict(zip(own.client, own.flag_count, strict=True)) for _, own in table.groupby("round")]
    assert [dict(each.flag_counts) for each in decisions] == counts


def test_several_losses_and_a_federation_that_is_too_small() -> None:
    class Reads(Defense):
        """Flags who reports a higher loss_d than 6; leaves weights as they are."""

        def reweight(self, updates: Sequence[ClientUpdate], weights: Mapping[int, float], round_: Round) -> Decision:
            return Decision(weights, frozenset(u.client_id for u in updates if u.metrics["loss_d"] > 6))

    rounds: NDArray[np.float64] = np.array([[1.0, 2.0, np.nan], [4.0, 5.0, 6.0]])
    decisions = replay(Reads(), {"loss_g": rounds, "loss_d": rounds + 1})
    assert [dict(each.weights) for each in decisions] == [{0: 0.5, 1: 0.5}, dict.fromkeys(range(3), 1 / 3)]
    assert [sorted(each.flagged) for each in decisions] == [[], [2]]
    with pytest.raises(ValueError, match=r"^fl.num_clients must be at least 3"):
        replay(FedDetectCusum(), {"loss_g": rounds[:, :2]})


@pytest.mark.parametrize(
    ("defense", "said"),
    [
        (Median(), "defense must be one that changes weights or flags clients; got 'Median'"),
        (Krum(), "defense must be a detector that reads losses alone; got 'Krum'"),
        (FLTrust(), "defense must be a detector that reads losses alone; got 'FLTrust'"),
        (GeneratorAudit(), "defense must be a detector that reads losses alone; got 'GeneratorAudit'"),
        (FedDetectCusum(warmup=0), "losses must be with loss_g, which the detector reads; got loss_d"),
    ],
)
def test_e10_what_no_losses_decide_is_refused_in_one_line(defense: Defense, said: str) -> None:
    with pytest.raises(ValueError) as error:
        replay(defense, {"loss_d": np.ones((5, 6))})
    assert str(error.value) == said
