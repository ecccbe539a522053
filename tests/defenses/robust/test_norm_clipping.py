"""Clipping by hand, and noise of the size that was asked for."""

import numpy as np
import pytest
import torch

from fedgan.defenses.robust.norm_clipping import NormClipping
from tests.helpers.rules import parameters_of, round_of, served, updates_of


def test_a_bound_by_hand() -> None:
    rule, updates = NormClipping(bound=1.0), updates_of([[3.0, 4.0], [0.0, 0.5]], variances=[2.0, 8.0])
    filtered = rule.filter(updates, round_of(2))
    np.testing.assert_allclose([parameters_of(update.state) for update in filtered], [[0.6, 0.8], [0.0, 0.5]])
    assert filtered[1] is updates[1], "what is not clipped is the same object"
    assert filtered[0].state["noise_const"].item() == 2.0
    assert rule.receipt() == {"bound": 1.0, "clipped": 1.0}


def test_by_default_the_bound_is_the_rounds_median_length() -> None:
    """Lengths 1, 2, 4 and 100: the median of four is 3."""
    rule = NormClipping()
    filtered = rule.filter(updates_of([[1.0], [2.0], [4.0], [-100.0]]), round_of(4, 1))
    assert [float(parameters_of(update.state)[0]) for update in filtered] == pytest.approx([1.0, 2.0, 3.0, -3.0])
    assert rule.receipt() == {"bound": 3.0, "clipped": 2.0}


def test_the_length_is_over_all_tensors_at_once() -> None:
    """By tensor, (3, 4) would keep its 3 and its 4 under a bound of 4."""
    filtered = NormClipping(bound=4.0).filter(updates_of([[3.0, 4.0]]), round_of(1))
    np.testing.assert_allclose(parameters_of(filtered[0].state), [2.4, 3.2])


def test_a_step_of_no_length_stays() -> None:
    updates = updates_of([[0.0, 0.0]] * 3 + [[5.0, 0.0]])
    filtered = NormClipping().filter(updates, round_of(4))
    assert all(new is old for new, old in zip(filtered[:3], updates, strict=False))
    assert parameters_of(filtered[3].state).tolist() == [0.0, 0.0]


def test_noise_is_relative_to_the_parameters_that_were_sent_out() -> None:
    """A root mean square of 2 and noise 0.1: a standard deviation of 0.2, not on buffers."""
    round_ = round_of(2, 20_001, origin=2.0)
    noisy = NormClipping(noise=0.1).finish(round_.reference, round_)
    assert (parameters_of(noisy) - 2.0).std() == pytest.approx(0.2, rel=0.02)
    assert (parameters_of(noisy) - 2.0).mean() == pytest.approx(0.0, abs=0.006)
    assert torch.equal(noisy["noise_const"], round_.reference["noise_const"])
    assert torch.equal(noisy["num_batches_tracked"], round_.reference["num_batches_tracked"])
    again, later = (NormClipping(noise=0.1).finish(r.reference, r) for r in (round_, round_of(2, 20_001, index=1)))
    assert torch.equal(again["const"], noisy["const"])
    assert not torch.equal(later["const"] + 2.0, noisy["const"])
    assert NormClipping().finish(round_.reference, round_) is round_.reference


def test_one_clients_median_clips_nobody() -> None:
    with pytest.raises(ValueError, match="^fl.clients_per_round must be at least 2, or bound a number; got 1$"):
        NormClipping().setup(num_clients=4, clients_per_round=1, rounds=2)
    with pytest.raises(ValueError, match="^fl.num_clients must be at least 2, or bound a number; got 1$"):
        NormClipping().setup(num_clients=1, clients_per_round=1, rounds=2)
    NormClipping(bound=1.0).setup(num_clients=1, clients_per_round=1, rounds=2)


def test_an_attacker_moves_the_mean_by_no_more_than_the_bound() -> None:
    state, _ = served(NormClipping(bound=1.0), updates_of([[0.0, 0.0]] * 3 + [[3e6, 4e6]]), round_of(4))
    assert np.linalg.norm(parameters_of(state)) == pytest.approx(1.0, rel=1e-4), "it states nearly all images"
