"""DnC by hand and against a singular value decomposition."""

import numpy as np
import pytest
import torch

from fedgan.defenses.robust.dnc import DnC, drawn_coordinates, outlier_scores
from tests.helpers.rules import parameters_of, round_of, served, step, updates_of

HAND = [[1.0, 0.0], [1.2, 0.1], [0.8, -0.1], [1.0, 0.2], [-3.0, 2.0]]


def test_five_clients_by_hand() -> None:
    assert outlier_scores(np.array(HAND)).round(2).tolist() == [0.83, 1.1, 0.6, 0.68, 12.67]
    state, decision = served(DnC(), updates_of(HAND), round_of(5))
    assert decision.flagged == {4}
    np.testing.assert_allclose(parameters_of(state), [1.0, 0.05])


@pytest.mark.parametrize("f", [1, 3])
def test_numpys_decomposition_agrees(f: int) -> None:
    deltas = np.random.default_rng(f).normal(size=(8, 30))
    centered = deltas - deltas.mean(axis=0)
    scores = (centered @ np.linalg.svd(centered)[2][0]) ** 2
    np.testing.assert_allclose(outlier_scores(deltas), scores)
    kept = np.argsort(scores)[: 8 - f]
    np.testing.assert_allclose(step(DnC(num_malicious=f), deltas), deltas[kept].mean(axis=0))


def test_coordinates_are_drawn_without_replacement_from_all_tensors() -> None:
    updates = updates_of(np.tile(np.arange(40.0), (3, 1)), origin=2.0)
    states, round_ = [update.state for update in updates], round_of(3, 40, origin=2.0)
    drawn = [drawn_coordinates(states, round_, 10, torch.Generator().manual_seed(seed)) for seed in range(60)]
    assert all(values.shape == (3, 10) and len(set(values[0])) == 10 for values in drawn)
    assert set(np.concatenate([values[0] for values in drawn])) == set(range(40))
    everything = drawn_coordinates(states, round_, 99, torch.Generator())
    assert sorted(everything[0]) == list(range(40))


def test_other_rounds_and_iterations_draw_other_coordinates() -> None:
    """Of 200 coordinates one is drawn: who stands out is not always the same."""
    deltas = np.random.default_rng(0).normal(size=(9, 200))
    first = [served(DnC(coordinates=1), updates_of(deltas), round_of(9, 200, index=t))[1].flagged for t in range(20)]
    again = [served(DnC(coordinates=1), updates_of(deltas), round_of(9, 200, index=t))[1].flagged for t in range(20)]
    assert first == again
    assert len(set(first)) > 3
    several = served(DnC(coordinates=1, iterations=3), updates_of(deltas), round_of(9, 200))[1].flagged
    assert first[0] < several, "those whom any iteration drops"
    assert len(several) <= 3


def test_where_iterations_drop_everybody_the_least_dropped_stay() -> None:
    deltas = np.random.default_rng(0).normal(size=(4, 300))
    weights = served(DnC(coordinates=1, iterations=60), updates_of(deltas), round_of(4, 300))[1].weights
    assert 0 < sum(weight > 0 for weight in weights.values()) < 4
