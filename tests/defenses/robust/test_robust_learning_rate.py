"""Votes of signs by hand and against numpy."""

from typing import Literal

import numpy as np
import pytest

from fedgan.defenses.robust.robust_learning_rate import RobustLearningRate
from tests.helpers.rules import parameters_of, round_of, served, step, updates_of

HAND = np.array([[1.0, 1], [2, 1], [1, 1], [1, 1], [-4, 1]])


def test_two_coordinates_by_hand() -> None:
    """Sums of signs are 3 and 5, the threshold is 4: the first mean, 0.2, is turned."""
    rule = RobustLearningRate(threshold=4)
    np.testing.assert_allclose(step(rule, HAND), [-0.2, 1.0])
    assert rule.receipt() == {"turned": 0.5}
    np.testing.assert_allclose(step(RobustLearningRate(threshold=4, flip=0), HAND), [0.0, 1.0], atol=1e-12)
    np.testing.assert_allclose(step(RobustLearningRate(threshold=3), HAND), [0.2, 1.0])


@pytest.mark.parametrize("flip", [-1, 0])
def test_numpy_agrees(flip: Literal[-1, 0]) -> None:
    deltas = np.random.default_rng(0).normal(size=(8, 50))
    rule = RobustLearningRate(num_malicious=3, threshold=4, flip=flip)
    agree = np.abs(np.sign(deltas).sum(axis=0)) >= 4
    np.testing.assert_allclose(step(rule, deltas), np.where(agree, 1, flip) * deltas.mean(axis=0), atol=1e-12)
    assert rule.receipt()["turned"] == pytest.approx(1 - agree.mean())


def test_votes_are_of_steps_and_not_of_weights() -> None:
    """All weights are positive at G = 100: FedML would find everybody of one mind."""
    deltas = [[1.0, 1.0], [-1.0, 1.0], [1.0, 1.0], [-1.0, 1.0]]
    rule = RobustLearningRate()
    state, _ = served(rule, updates_of(deltas, origin=100.0), round_of(4, origin=100.0))
    assert parameters_of(state).tolist() == [100.0, 101.0]
    assert rule.receipt() == {"turned": 0.5}


@pytest.mark.parametrize(("count", "share"), [(4, 0.875), (8, 0.711), (16, 0.546)])
def test_noise_is_turned_for_the_most_part_at_a_threshold_of_four(count: int, share: float) -> None:
    rule = RobustLearningRate(threshold=4 if count > 4 else 3)  # 3 acts like 4 where N is even
    step(rule, np.random.default_rng(count).normal(size=(count, 40_000)))
    assert rule.receipt()["turned"] == pytest.approx(share, abs=0.01)


def test_the_threshold_is_what_the_honest_reach_and_the_malicious_do_not() -> None:
    for threshold in (2, 7):
        RobustLearningRate(threshold=threshold).setup(num_clients=8, clients_per_round=8, rounds=2)
    for threshold in (1, 8):
        with pytest.raises(
            ValueError, match=f"^threshold must be from f \\+ 1 = 2 to N - f = 7, or null; got {threshold}$"
        ):
            RobustLearningRate(threshold=threshold).setup(num_clients=8, clients_per_round=8, rounds=2)


def test_where_too_many_updates_are_lost_the_run_stops() -> None:
    rule = RobustLearningRate(threshold=5)
    rule.setup(num_clients=8, clients_per_round=8, rounds=2)
    with pytest.raises(ValueError, match=r"^fl.min_clients must be at least threshold \+ num_malicious = 6; got 5$"):
        step(rule, HAND)
