"""Three distances against scipy's, client by client."""

import numpy as np
import pytest
from scipy.spatial.distance import cityblock, cosine

from fedgan.defenses.robust.multi_metrics import MultiMetrics, mahalanobis
from tests.helpers.rules import round_of, served, updates_of


def slow_scores(deltas: np.ndarray) -> list[float]:
    rows = []
    for x in deltas:
        gaps = [abs(np.linalg.norm(x) - np.linalg.norm(y)) for y in deltas]
        rows.append((sum(cityblock(x, y) for y in deltas), sum(gaps), sum(cosine(x, y) for y in deltas)))
    inverse = np.linalg.inv(np.cov(np.array(rows).T))
    return [float(np.array(row) @ inverse @ np.array(row)) for row in rows]


@pytest.mark.parametrize(("share", "kept"), [(0.3, 3), (0.5, 5), (0.05, 1), (1.0, 10)])
def test_scipy_agrees(share: float, kept: int) -> None:
    deltas = np.random.default_rng(2).normal(0.3, 1.0, size=(10, 12)) * np.linspace(1, 2, 10)[:, None]
    weights = served(MultiMetrics(share=share), updates_of(deltas), round_of(10, 12))[1].weights
    assert {i for i in range(10) if weights[i] > 0} == set(np.argsort(slow_scores(deltas))[:kept].tolist())


@pytest.mark.parametrize("factor", [-20, -1, 20])
def test_an_outlier_is_dropped(factor: int) -> None:
    """By chance, 3 of 12 being kept, it would be dropped in all of 20 draws once in 315 times."""
    for seed in range(20):
        deltas = np.random.default_rng(seed).normal(1.0, 0.3, size=(12, 20))
        deltas[7] *= factor
        flagged = served(MultiMetrics(), updates_of(deltas), round_of(12, 20))[1].flagged
        assert 7 in flagged
        assert len(flagged) == 9


def test_a_singular_covariance_is_no_obstacle() -> None:
    """All features the same in one direction: what does not vary says nothing."""
    assert np.isfinite(mahalanobis(np.array([[1.0, 2.0, 0.0], [2.0, 4.0, 0.0], [3.0, 6.0, 0.0]]))).all()
