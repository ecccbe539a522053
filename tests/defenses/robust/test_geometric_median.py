"""Weiszfeld's steps by hand, and their limit against an optimizer's."""

import numpy as np
import pytest
from scipy.optimize import minimize

from fedgan.defenses.robust.geometric_median import GeometricMedian
from tests.helpers.rules import round_of, served, step, updates_of

LINE = [[0.0], [1.0], [10.0]]


@pytest.mark.parametrize(("passes", "v"), [(1, 2.4254), (2, 1.6227), (3, 1.1957), (4, 1.0307), (30, 1.0)])
def test_steps_from_the_mean_by_hand(passes: int, v: float) -> None:
    assert step(GeometricMedian(passes=passes), LINE).item() == pytest.approx(v, abs=5e-5)


def test_the_limit_is_the_point_of_least_distance_over_all_tensors_at_once() -> None:
    """One point for the whole vector: medians of its two tensors by themselves are another point (FedML)."""
    deltas = np.random.default_rng(3).exponential(size=(5, 4)) * [9, 1, 1, 1]
    limit = step(GeometricMedian(passes=400), deltas)
    start = deltas.mean(axis=0)

    def total(v: np.ndarray) -> float:
        return float(np.linalg.norm(deltas - v, axis=1).sum())

    np.testing.assert_allclose(limit, minimize(total, start, tol=1e-12).x, atol=1e-4)
    by_tensor = np.concatenate([step(GeometricMedian(passes=400), part) for part in (deltas[:, :1], deltas[:, 1:])])
    assert np.abs(by_tensor - limit).max() > 0.05


def test_weights_say_who_is_far_and_flag_nobody() -> None:
    decision = served(GeometricMedian(passes=1), updates_of(LINE), round_of(3, 1))[1]
    shares = np.array([3 / 11, 3 / 8, 3 / 19])  # over the distances 11/3, 8/3 and 19/3 from the mean
    assert list(decision.weights.values()) == pytest.approx(list(shares / shares.sum()))
    assert not decision.flagged
    assert decision.flag_counts == {0: 0, 1: 0, 2: 0}


def test_a_client_at_the_point_has_a_finite_weight() -> None:
    """Client 1 is at the mean: its distance is taken for nu."""
    decision = served(GeometricMedian(passes=1, smoothing=0.5), updates_of([[-1.0], [0.0], [1.0]]), round_of(3, 1))[1]
    assert list(decision.weights.values()) == pytest.approx([0.25, 0.5, 0.25])
