"""Sizes that add up."""

from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fedgan.partitions._rules import even_sizes, largest_remainder, shuffled_classes

steady = settings(derandomize=True, database=None, deadline=None)


def hamilton(shares: list[int], total: int) -> list[int]:
    """The method as it is taught, in exact fractions: floors, then the largest remainders, the first of equals."""
    quotas = [Fraction(share * total, sum(shares)) for share in shares]
    seats = [int(quota) for quota in quotas]
    by_remainder = sorted(range(len(shares)), key=lambda i: (-(quotas[i] - seats[i]), i))
    for i in by_remainder[: total - sum(seats)]:
        seats[i] += 1
    return seats


def test_largest_remainder_by_hand() -> None:
    """4.6, 2.9 and 2.5: two seats are left after 4, 2 and 2, and .9 and .6 are the largest fractions."""
    assert largest_remainder([0.46, 0.29, 0.25], 10).tolist() == [5, 3, 2]
    assert np.diff((np.cumsum([0, 0.46, 0.29, 0.25]) * 10).astype(int)).tolist() == [4, 3, 3], "what floors would give"
    assert largest_remainder([1, 1, 1], 5).tolist() == [2, 2, 1]
    assert largest_remainder([0.0, 2.0], 3).tolist() == [0, 3]
    assert largest_remainder([1.0, 2.0], 0).tolist() == [0, 0]


# A power of two as their sum: quotas are exact in floating point, and so are ties.
@steady
@given(st.lists(st.integers(0, 100), min_size=1, max_size=12), st.integers(0, 12), st.integers(0, 10_000))
def test_largest_remainder_is_hamiltons_method(shares: list[int], power: int, total: int) -> None:
    shares = [*shares, 2 ** (power + 11) - sum(shares)]
    assert largest_remainder(np.array(shares, float), total).tolist() == hamilton(shares, total)


@steady
@given(st.lists(st.floats(1e-9, 1.0), min_size=1, max_size=64), st.integers(0, 10**6))
def test_largest_remainder_adds_up_and_is_less_than_one_away(shares: list[float], total: int) -> None:
    sizes = largest_remainder(shares, total)
    exact = np.array(shares) / np.sum(shares) * total
    assert sizes.sum() == total
    assert (np.abs(sizes - exact) < 1 + 1e-9).all()


@pytest.mark.parametrize(("count", "clients", "sizes"), [(10, 3, [3, 3, 4]), (4, 4, [1] * 4), (7, 1, [7])])
def test_even_sizes(count: int, clients: int, sizes: list[int]) -> None:
    assert even_sizes(count, clients) == sizes


def test_classes_are_shuffled_each_on_its_own() -> None:
    labels = torch.tensor([0, 2] * 50)
    zeros, twos = shuffled_classes(labels, seed=0)
    assert (sorted(zeros.tolist()), sorted(twos.tolist())) == (list(range(0, 100, 2)), list(range(1, 100, 2)))
    assert zeros.tolist() != sorted(zeros.tolist()), "not in the order of the files"
    assert (zeros // 2).tolist() != (twos // 2).tolist(), "each class has its own order"
    assert torch.equal(shuffled_classes(labels, seed=0)[0], zeros)
    assert not torch.equal(shuffled_classes(labels, seed=1)[0], zeros)
