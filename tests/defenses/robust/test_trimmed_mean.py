import numpy as np
import pytest
from scipy.stats import trim_mean

from fedgan.defenses.robust.trimmed_mean import TrimmedMean
from tests.helpers.rules import TOY, step


def test_the_toy_by_hand() -> None:
    np.testing.assert_allclose(step(TrimmedMean(num_malicious=1), TOY), [2 / 3, 1.0])


@pytest.mark.parametrize(("count", "f"), [(3, 1), (4, 1), (5, 2), (8, 3)])
def test_scipy_agrees(count: int, f: int) -> None:
    deltas = np.random.default_rng(count).normal(size=(count, 6))
    np.testing.assert_allclose(step(TrimmedMean(num_malicious=f), deltas), trim_mean(deltas, f / count + 1e-9, axis=0))


def test_one_of_four_is_a_count_and_no_share_that_rounds_to_nobody() -> None:
    """A share of 0.2 of 4 clients is nobody: BackFed's and Flower's settings silently become the mean."""
    assert step(TrimmedMean(), [[0.0], [1.0], [2.0], [100.0]]).tolist() == [1.5]


def test_it_trims_both_ends_and_keeps_no_neighborhood_of_the_median() -> None:
    """ALIE's authors keep the N - f - 1 values nearest to the median: 0, 0.9 and 1 here, mean 0.63."""
    np.testing.assert_allclose(step(TrimmedMean(), [[0.0], [0.9], [1.0], [5.0], [6.0]]), [2.3])
