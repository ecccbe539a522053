"""Grubbs's test and the generalized ESD against published and scipy's values, and the weights by hand."""

import copy
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from omegaconf import DictConfig
from scipy import stats

from fedgan.config import training
from fedgan.core.round import Round
from fedgan.core.update import ClientUpdate
from fedgan.defenses.base import Decision
from fedgan.defenses.feddetect_grubbs import FedDetectGrubbs, Side, critical_value, outliers, remaining
from tests.helpers.runs import rows

# Rosner's own example (1983; NIST/SEMATECH e-Handbook, 1.3.5.17.3): 54 values, of which three are outliers at 0.05.
ROSNER = (
    *(-0.25, 0.68, 0.94, 1.15, 1.20, 1.26, 1.26, 1.34, 1.38, 1.43, 1.49, 1.49, 1.55, 1.56, 1.58, 1.65, 1.69, 1.70),
    *(1.76, 1.77, 1.81, 1.91, 1.94, 1.96, 1.99, 2.06, 2.09, 2.10, 2.14, 2.15, 2.23, 2.24, 2.26, 2.35, 2.37, 2.40),
    *(2.47, 2.54, 2.62, 2.64, 2.90, 2.92, 2.92, 2.93, 3.21, 3.26, 3.30, 3.59, 3.68, 4.30, 4.64, 5.34, 5.42, 6.01),
)
OUTLYING = (2.0, 2.05, 2.1, 9.0)
CALM = (2.0, 2.05, 2.1, 2.15)


def detector(num_clients: int = 4, rounds: int = 100, **settings: Any) -> FedDetectGrubbs:
    defense = FedDetectGrubbs(**settings)
    defense.setup(num_clients=num_clients, clients_per_round=num_clients, rounds=rounds)
    return defense


def play(defense: FedDetectGrubbs, losses: Sequence[float], t: int, ids: Sequence[int] | None = None) -> Decision:
    ids = range(len(losses)) if ids is None else ids
    updates = [ClientUpdate(i, 8, {}, {"loss_g": loss}) for i, loss in zip(ids, losses, strict=True)]
    return defense.reweight(updates, dict.fromkeys(ids, 1 / len(losses)), Round(t, {}, frozenset(), num_clients=9))


@pytest.mark.parametrize(("count", "value"), [(4, 1.496), (8, 2.274), (16, 2.852), (64, 3.586)])
def test_critical_values_at_one_percent(count: int, value: float) -> None:
    assert critical_value(count, 0.01) == pytest.approx(value, abs=5e-4)
    t = stats.t.ppf(1 - 0.01 / (2 * count), count - 2)
    assert critical_value(count, 0.01) == pytest.approx(
        (count - 1) / np.sqrt(count) * np.sqrt(t**2 / (count - 2 + t**2)), rel=1e-9
    )
    one_sided = stats.t.ppf(1 - 0.01 / count, count - 2)
    assert critical_value(count, 0.01, "high") == pytest.approx(
        (count - 1) / np.sqrt(count) * np.sqrt(one_sided**2 / (count - 2 + one_sided**2)), rel=1e-9
    )


def test_published_critical_values() -> None:
    """Of the first three steps of Rosner's example: 3.158, 3.151, 3.143."""
    assert [critical_value(n, 0.05) for n in (54, 53, 52)] == pytest.approx([3.158, 3.151, 3.143], abs=1e-3)


def test_the_published_example_has_three_outliers() -> None:
    assert outliers(ROSNER, alpha=0.05) == [51, 52, 53]
    shuffled = np.random.default_rng(0).permutation(54)
    assert sorted(shuffled[outliers([ROSNER[i] for i in shuffled], 0.05)].tolist()) == [51, 52, 53]


def test_two_outliers_that_hide_each_other_are_found() -> None:
    """Grubbs's statistic of both together is below its critical value; the second step's is not."""
    values = [2.0, 2.1, 2.05, 1.95, 2.02, 1.98, 9.0, 9.0]
    x = np.array(values)
    assert np.abs(x - x.mean()).max() / x.std(ddof=1) < critical_value(8, 0.01)
    assert outliers(values, 0.01) == [6, 7]


@pytest.mark.parametrize(("num_clients", "low", "high"), [(4, 0.007, 0.013), (8, 0.015, 0.026), (16, 0.011, 0.020)])
@pytest.mark.parametrize("side", ["both", "high"])
def test_false_alarms_of_a_round(num_clients: int, low: float, high: float, side: Side) -> None:
    draws = np.random.default_rng(1).normal(2.0, 0.1, (6_000, num_clients)).tolist()
    assert low <= np.mean([bool(outliers(draw, 0.01, side)) for draw in draws]) <= high


@pytest.mark.parametrize("values", [[2.0] * 5, [0.1 + 0.2, 0.3, 0.3, 0.3], [1.0, 2.0], [1.0], []])
def test_values_that_are_all_one_or_too_few_have_no_outliers(values: list[float]) -> None:
    assert outliers(values, 0.01) == []


def test_a_side() -> None:
    low, high = [2.0, 2.05, 2.1, -5.0], list(OUTLYING)
    assert [outliers(x, 0.01, "both") for x in (low, high)] == [[3], [3]]
    assert [outliers(x, 0.01, "high") for x in (low, high)] == [[], [3]]


def test_hand_computed_weights_are_those_of_algorithm_1() -> None:
    """As feddetect's own test: after one, two, three flags with d = 1/2 the client has 1/2, 1/8, 1/64 of a weight."""
    defense = detector(warmup=1, decay=0.5)
    for t in (0, 1):
        assert play(defense, OUTLYING, t).weights == dict.fromkeys(range(4), 0.25)
    for t, kept in ((2, 1 / 2), (3, 1 / 8), (4, 1 / 64)):
        decision = play(defense, OUTLYING, t)
        assert decision.flagged == {3}
        assert decision.weights == pytest.approx({**dict.fromkeys(range(3), 1 / (3 + kept)), 3: kept / (3 + kept)})
    assert defense.c == {0: 0, 1: 0, 2: 0, 3: 3}
    assert play(defense, CALM, 5).weights == decision.weights, "lost for good"


def test_recovery_takes_back_a_flag_in_each_clean_round() -> None:
    defense = detector(warmup=0, decay=0.5, recover=True)
    for t in (1, 2):
        play(defense, OUTLYING, t)
    kept = [play(defense, CALM, t).weights[3] for t in (3, 4, 5)]
    assert kept == pytest.approx([0.5 / 3.5, 0.25, 0.25])
    assert play(defense, OUTLYING, 6).flagged == {3}
    assert defense.c[3] == 1
    play(defense, CALM, 7, ids=(0, 1, 2, 4))
    assert defense.c[3] == 1, "who is absent does not recover"


def test_a_client_keeps_the_least_weight() -> None:
    defense = detector(warmup=0, decay=0.5, min_weight=0.1)
    for t in range(1, 30):
        decision = play(defense, OUTLYING, t)
    assert decision.weights[3] == pytest.approx(0.1 / 3.1)
    assert remaining(100_000, decay=0.5) > 0, "a round of only zeros has no mean"


def test_equal_losses_change_nothing() -> None:
    defense, weights = detector(warmup=0), {0: 0.1, 1: 0.2, 2: 0.3, 3: 0.4}
    updates = [ClientUpdate(i, 8, {}, {"loss_g": 2.0}) for i in range(4)]
    decision = defense.reweight(updates, weights, Round(1, {}, frozenset(), num_clients=4))
    assert decision.weights is weights
    assert not decision.flagged


def test_the_verdict_follows_the_client() -> None:
    assert play(detector(warmup=0), (9.0, 2.0, 2.05, 2.1), 1, ids=(3, 0, 1, 2)).flagged == {3}


def test_memory_survives() -> None:
    whole, first = detector(warmup=0), detector(warmup=0)
    for t in (1, 2):
        play(whole, OUTLYING, t)
        play(first, OUTLYING, t)
    second, state = detector(warmup=0), first.state_dict()
    kept = copy.deepcopy(state)
    second.load_state_dict(state)
    assert play(second, OUTLYING, 3) == play(whole, OUTLYING, 3)
    play(first, OUTLYING, 3)
    assert state == kept


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"alpha": 0.5}, r"^alpha must be a number in \(0, 0.5\); got 0.5"),
        ({"alpha": 0.0}, "^alpha must be"),
        ({"decay": 1.0}, r"^decay must be a number in \(0, 1\)"),
        ({"min_weight": 1.0}, r"^min_weight must be a number in \[0, 1\)"),
        ({"recover": 1}, "^recover must be true or false; got 1"),
        ({"side": "low"}, "^side must be one of high, both; got 'low'"),
        ({"loss": "loss"}, "^loss must be one of loss_g, loss_d"),
        ({"warmup": -1}, "^warmup must be"),
        ({"samples": 0}, "^samples must be"),
    ],
)
def test_bad_settings(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        FedDetectGrubbs(**settings)


@pytest.mark.parametrize(
    ("num_clients", "rounds", "words"),
    [
        (2, 10, "^fl.num_clients must be at least 3 for defense=feddetect_grubbs; got 2"),
        (4, 1, "^fl.rounds must be at least 2 for defense=feddetect_grubbs; got 1"),
        (4, 10, "^warmup must be at most 8, so that it can act in fl.rounds=10; got 9"),
    ],
)
def test_refused_where_it_could_not_act(num_clients: int, rounds: int, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        detector(num_clients, rounds, warmup=9)
    assert detector(3, rounds=11, warmup=9).warmup == 9


def test_a_run_with_the_losses_of_equation_6(configure: Callable[..., DictConfig], tmp_path: Path) -> None:
    settings = ("warmup=0", "loss=loss_g_final", "samples=8", "alpha=0.49")
    own = [f"defense.feddetect_grubbs.{each}" for each in settings]
    summary = training.train(configure("defense=feddetect_grubbs", *own, "fl.rounds=6"), tmp_path / "run")
    found = rows(tmp_path / "run/clients.csv")
    for t in range(6):
        losses = [float(row["loss_g_final"]) for row in found if row["round"] == str(t)]
        flagged = [
            i for i, row in enumerate(each for each in found if each["round"] == str(t)) if row["flagged"] == "1"
        ]
        assert flagged == (outliers(losses, 0.49) if t > 0 else [])
    assert summary["rounds_acted"]["feddetect_grubbs"] >= 1
