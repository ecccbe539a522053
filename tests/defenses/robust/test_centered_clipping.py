"""Centered clipping by hand and against vectors, and the memory of the last step."""

import numpy as np
import pytest
import torch

from fedgan.defenses.robust.centered_clipping import CenteredClipping, combination
from tests.helpers.rules import parameters_of, round_of, served, step, updates_of

LINE = [[0.5], [1.0], [100.0]]


def slow_steps(deltas: np.ndarray, v: np.ndarray, bound: float | None, steps: int) -> np.ndarray:
    for _ in range(steps):
        lengths = [np.linalg.norm(delta - v) for delta in deltas]
        tau = np.median(lengths) if bound is None else bound
        v = v + np.mean([(d - v) * min(1, tau / n) for d, n in zip(deltas, lengths, strict=True)], axis=0)
    return v


@pytest.mark.parametrize(("steps", "v"), [(1, 0.8333), (2, 1.1111), (3, 1.2037)])
def test_steps_from_0_by_hand(steps: int, v: float) -> None:
    """From 0, and not from a client's update as in FedML."""
    rule = CenteredClipping(bound=1.0, steps=steps)
    assert step(rule, LINE).item() == pytest.approx(v, abs=5e-5)
    assert rule.receipt() == {"bound": 1.0, "clipped": 1.0}


@pytest.mark.parametrize("bound", [None, 0.7])
def test_vectors_agree_over_rounds_and_over_a_checkpoint(bound: float | None) -> None:
    """The generator moves on between rounds: v is a step and stays as it is."""
    rng, v, rule = np.random.default_rng(0), np.zeros(9), CenteredClipping(bound=bound, steps=2)
    for t in range(4):
        deltas = rng.normal(1.0, 1.0, size=(5, 9))
        v = slow_steps(deltas, v, bound, 2)
        state, decision = served(rule, updates_of(deltas, origin=t), round_of(5, 9, origin=t, index=t))
        np.testing.assert_allclose(parameters_of(state) - t, v, atol=1e-9)
        assert not decision.weights
        memory, rule = rule.state_dict(), CenteredClipping(bound=bound, steps=2)
        rule.load_state_dict(memory)


def test_by_default_the_bound_is_the_median_distance() -> None:
    rule = CenteredClipping()
    assert step(rule, LINE).item() == pytest.approx((0.5 + 1 + 1) / 3)
    assert rule.receipt() == {"bound": pytest.approx(1.0), "clipped": 1.0}


def test_updates_in_single_precision_are_added_in_double() -> None:
    """A float32 next to 1e8 is 8 away: the 1 would be lost."""
    values = [torch.tensor([1e8, 3.0]), torch.tensor([1.0, 0.5])]
    assert combination(values, np.array([1.0, 1.0])).tolist() == [100_000_001.0, 3.5]
