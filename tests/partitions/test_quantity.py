"""Unequal sizes, equal mixes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from fedgan.partitions.quantity import Quantity
from tests.helpers.partitions import assert_whole, contents, labeled, same

steady = settings(derandomize=True, database=None, deadline=None, max_examples=60)


@steady
@given(count=st.integers(30, 300), clients=st.integers(1, 5), beta=st.sampled_from([0.5, 3.0]), seed=st.integers(0, 99))
def test_disjoint_covering_large_enough_and_reproducible(count: int, clients: int, beta: float, seed: int) -> None:
    images = labeled([0, 1] * (count // 2))
    parts = Quantity(beta=beta, min_images=2).split(images, clients, seed)
    assert_whole(parts, len(images))
    assert min(map(len, parts)) >= 2
    assert same(parts, Quantity(beta=beta, min_images=2).split(images, clients, seed))
    assert clients == 1 or not same(parts, Quantity(beta=beta, min_images=2).split(images, clients, seed + 1))


def test_sizes_have_the_moments_of_the_distribution() -> None:
    """With beta = 5 hardly any draw is refused; against SciPy's mean and variance of Dir(5, 5, 5, 5)."""
    images = labeled([0] * 2000)
    parts = [Quantity(beta=5.0, min_images=2).split(images, 4, seed) for seed in range(400)]
    shares = np.array([[len(part) for part in each] for each in parts]) / 2000
    expected = stats.dirichlet([5.0] * 4)
    assert shares.mean(axis=0) == pytest.approx(expected.mean(), abs=0.03)
    assert shares.var() == pytest.approx(expected.var()[0], rel=0.15)


def test_the_content_is_that_of_the_whole() -> None:
    labels = [0] * 3000 + [1] * 1000
    for zeros, ones in contents(Quantity(beta=1.0, min_images=200).split(labeled(labels), 4, 0), labels):
        assert abs(ones / (zeros + ones) - 0.25) < 4 * np.sqrt(0.25 * 0.75 / (zeros + ones))


def test_what_cannot_be_given_is_refused_in_one_line() -> None:
    with pytest.raises(ValueError, match=r"^beta must be larger: in 20 tries .* min_images=25 .* best \d+; got 0.1$"):
        Quantity(beta=0.1, min_images=25, max_tries=20).split(labeled([0] * 100), 4, 0)
    with pytest.raises(ValueError, match="^min_images must be at most 4, the 9 training images over 2 cl.*; got 10$"):
        Quantity().split(labeled([0] * 9), 2, 0)
