"""FLAME's cluster, bound and noise by hand and against sklearn's own distances."""

import numpy as np
import pytest
from sklearn.cluster import HDBSCAN
from sklearn.metrics.pairwise import cosine_distances

from fedgan.defenses.robust.flame import Flame, largest_cluster
from tests.helpers.rules import parameters_of, round_of, served, step, updates_of

HAND = [[3.0, 4.0], [3.0, 3.9], [2.9, 4.0], [-3.0, 4.0], [0.6, 0.8]]


def test_five_clients_by_hand() -> None:
    """Lengths 5, 4.9204, 4.9406, 5, 1. The bound is the median of all, not of the kept 0, 1, 4 (4.9204)."""
    rule = Flame(noise=0)
    state, decision = served(rule, updates_of(HAND), round_of(5))
    assert decision.flagged == {2, 3}, "the attacker 3, and the honest client 2 with it"
    np.testing.assert_allclose(parameters_of(state), [2.1881, 2.8842], atol=5e-5)
    assert rule.receipt() == {"bound": pytest.approx(4.9406, abs=5e-5), "clipped": 2.0}


@pytest.mark.parametrize("count", [4, 7, 8, 16])
def test_sklearn_on_cosine_distances_agrees(count: int) -> None:
    rng = np.random.default_rng(count)
    for _ in range(5):
        deltas = rng.normal(size=50) + rng.normal(size=(count, 50))
        oracle = HDBSCAN(
            min_cluster_size=count // 2 + 1, min_samples=2, allow_single_cluster=True, metric="precomputed", copy=True
        ).fit_predict(cosine_distances(deltas))
        expected = set(np.flatnonzero(oracle == -1)) if (oracle >= 0).any() else set()
        assert served(Flame(noise=0), updates_of(deltas), round_of(count, 50))[1].flagged == expected


def test_opposite_attackers_are_dropped_whatever_their_length() -> None:
    rng = np.random.default_rng(1)
    honest = np.ones(20) + 0.05 * rng.normal(size=(5, 20))
    flagged = served(Flame(noise=0), updates_of([*honest, *(-50 * honest[:3])]), round_of(8, 20))[1].flagged
    assert {5, 6, 7} <= flagged
    assert len(flagged) < 6


def test_without_a_cluster_all_are_kept() -> None:
    far = 1.0 - np.eye(4)
    far[0, 1] = far[1, 0] = 0.1
    labels = HDBSCAN(min_cluster_size=3, min_samples=2, metric="precomputed", copy=True).fit_predict(far)
    assert (labels == -1).all()
    assert largest_cluster(1.0 - np.eye(4)) == [0, 1, 2, 3]


def test_noise_is_relative_to_the_median_length() -> None:
    deltas = np.zeros((4, 20_001))
    deltas[:, 0] = [3.0, 3.0, 3.0, 500.0]
    found = step(Flame(noise=0.1), deltas)
    assert found[1:].std() == pytest.approx(0.3, rel=0.02)
    assert found[1:].mean() == pytest.approx(0.0, abs=0.01)
    assert (found == step(Flame(noise=0.1), deltas)).all(), "keyed by seed and round"
