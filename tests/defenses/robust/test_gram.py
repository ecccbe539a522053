"""Inner products against numpy and scipy, whatever pieces they are summed in."""

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist

from fedgan.core.round import Round
from fedgan.defenses.robust import gram as module
from fedgan.defenses.robust.gram import alike, cosines, gram_matrix, lengths, lowest, squared_distances
from tests.helpers.rules import round_of, updates_of

DELTAS = np.random.default_rng(0).normal(size=(5, 37))


@pytest.mark.parametrize("elements", [1, 5, 50, 10**6])
def test_pieces_of_any_size_give_numpys_matrix(elements: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_ELEMENTS", elements)
    states = [update.state for update in updates_of(DELTAS, origin=3.0)]
    round_ = round_of(5, 37, origin=3.0)
    np.testing.assert_allclose(gram_matrix(states, round_), DELTAS @ DELTAS.T, atol=1e-12)
    np.testing.assert_allclose(lengths(states, round_), np.linalg.norm(DELTAS, axis=1))


def test_no_piece_is_larger_than_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_ELEMENTS", 50)
    states = [update.state for update in updates_of(DELTAS)]
    assert [piece.numel() for piece in module.deltas_in_pieces(states, round_of(5, 37))] == [5, 50, 50, 50, 30]


def test_buffers_do_not_count() -> None:
    states = [update.state for update in updates_of(DELTAS, variances=[1, 9, 1e6, 5, 7], counts=[1, 2, 3, 4, 10**9])]
    np.testing.assert_allclose(gram_matrix(states, round_of(5, 37)), DELTAS @ DELTAS.T, atol=1e-12)


def test_small_steps_of_large_weights_are_summed_in_float64() -> None:
    """Ten thousand steps of 2^-12 on weights of 1: in float32 the sum of their squares would lose digits."""
    start = torch.ones(10_000)
    moved = [start + 2.0**-12, start - 2.0**-12]
    round_ = Round(0, {"w": start}, frozenset({"w"}), num_clients=2)
    expected = 10_000 * 2.0**-24
    np.testing.assert_array_equal(
        gram_matrix([{"w": w} for w in moved], round_), [[expected, -expected], [-expected, expected]]
    )


def test_distances_and_cosines_are_scipys() -> None:
    gram = DELTAS @ DELTAS.T
    np.testing.assert_allclose(squared_distances(gram), cdist(DELTAS, DELTAS, "sqeuclidean"), atol=1e-12)
    np.testing.assert_allclose(cosines(gram), 1 - cdist(DELTAS, DELTAS, "cosine"), atol=1e-12)


def test_rounding_makes_no_distance_negative() -> None:
    rows = np.tile(DELTAS[:1], (5, 1)) * (1 + 1e-16 * np.arange(5)[:, None])
    gram = rows @ rows.T
    gram[0, 1] = gram[1, 0] = gram[0, 0] * (1 + 1e-15)
    assert squared_distances(gram).min() == 0.0


def test_of_many_equal_scores_the_first_are_the_lowest() -> None:
    scores = np.tile([1.0, 0.0], 50)
    assert lowest(scores, 60) == [*range(1, 100, 2), *range(0, 20, 2)]


def test_rounding_leaves_updates_alike_and_a_millionth_does_not() -> None:
    rows = np.tile(DELTAS[:1], (4, 1))
    rows[2] *= 1 + 1e-15
    assert alike(rows @ rows.T)
    rows[2] *= 1 + 1e-5
    assert not alike(rows @ rows.T)
    assert alike(np.zeros((3, 3)))
