"""Bulyan's two steps by hand and against loops."""

import numpy as np
import pytest
import torch

from fedgan.defenses.robust.bulyan import Bulyan, mean_near_median
from tests.helpers.rules import round_of, served, step, updates_of

HAND = [[0.0], [1.0], [2.0], [3.5], [4.0], [6.0], [100.0]]


def slow_bulyan(deltas: np.ndarray, f: int) -> np.ndarray:
    left, selected = list(deltas), []
    while len(selected) < len(deltas) - 2 * f:
        scores = []
        for i, x in enumerate(left):
            squares = sorted(float(((x - y) ** 2).sum()) for j, y in enumerate(left) if j != i)
            scores.append(sum(squares[: max(1, len(left) - f - 2)]))
        selected.append(left.pop(int(np.argmin(scores))))
    found = []
    for column in np.array(selected).T:
        center = np.median(column)
        found.append(np.mean(sorted(column, key=lambda value: abs(value - center))[: len(selected) - 2 * f]))
    return np.array(found)


def test_seven_clients_by_hand() -> None:
    """2, 3.5, 1, 4, 0 are selected, and 1, 2, 3.5 are nearest to their median 2; without the second step: 2.1."""
    np.testing.assert_allclose(step(Bulyan(), HAND), [6.5 / 3])


@pytest.mark.parametrize(("count", "f"), [(7, 1), (8, 1), (16, 3)])
def test_loops_agree(count: int, f: int) -> None:
    deltas = np.random.default_rng(count).normal(size=(count, 5))
    np.testing.assert_allclose(step(Bulyan(num_malicious=f), deltas), slow_bulyan(deltas, f))


def test_of_values_equally_near_the_median_the_first_clients_count() -> None:
    """Of 64 whole numbers from -2 to 2 many are. Python sorts stably; torch beyond 16 values only on request."""
    values = torch.randint(-2, 3, (64, 50), generator=torch.Generator().manual_seed(0)).double()
    expected = []
    for column in values.T.tolist():
        center = np.median(column)
        expected.append(np.mean(sorted(column, key=lambda value, center=center: abs(value - center))[:20]))
    np.testing.assert_allclose(mean_near_median(values, 20), expected, atol=1e-12)


def test_the_callers_updates_stay_and_nobody_has_a_weight() -> None:
    """Flower's first version took the selected out of the list it was given."""
    updates = updates_of(HAND)
    _, decision = served(Bulyan(), updates, round_of(7, 1))
    assert [update.client_id for update in updates] == list(range(7))
    assert not decision.weights
