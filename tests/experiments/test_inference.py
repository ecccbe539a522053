"""The statistics behind the verdicts, against hand-computed values, scipy's own tests, and what they promise."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import beta, ttest_1samp

from experiments.paper.inference import binomial_test, compared, holm, interval, share_interval, t_test

VALUES = st.lists(st.integers(-1000, 1000).map(lambda i: i / 100), min_size=2, max_size=12)


@pytest.mark.parametrize(
    ("raw", "adjusted"),
    [
        ([], []),
        ([0.03], [0.03]),
        ([0.01, 0.04, 0.03, 0.005], [0.03, 0.06, 0.06, 0.02]),  # 4 x 0.005, 3 x 0.01, 2 x 0.03, 0.04 not below that
        ([0.02, 0.02, 0.02], [0.06, 0.06, 0.06]),
        ([0.9, 0.4, 0.5], [1.0, 1.0, 1.0]),
        ([0.012, 0.02], [0.024, 0.024]),
    ],
)
def test_a4_holm_by_hand(raw: list[float], adjusted: list[float]) -> None:
    assert holm(raw) == pytest.approx(adjusted)


@given(st.lists(st.floats(0, 1), max_size=12))
def test_a4_holm_is_between_the_raw_p_and_bonferronis(raw: list[float]) -> None:
    found = holm(raw)
    assert all(p <= q <= min(1.0, len(raw) * p) for p, q in zip(raw, found, strict=True))
    in_order = [q for _, q in sorted(zip(raw, found, strict=True))]
    assert all(a <= b for a, b in pairwise(in_order)), "a smaller p stays the smaller"


def test_a4_holm_keeps_the_chance_of_any_false_verdict_at_5_percent() -> None:
    """2,000 tables of ten claims, eight of them false: uniform p values; without a correction 34 % have a false one."""
    rng = np.random.default_rng(0)
    raw = rng.uniform(size=(2000, 10))
    raw[:, 8:] = 1e-6
    wrong = np.mean([min(holm(list(row))[:8]) < 0.05 for row in raw])
    assert wrong == pytest.approx(0.05, abs=0.015)
    assert np.mean(raw[:, :8].min(axis=1) < 0.05) > 0.3


@given(VALUES, st.integers(-1000, 1000).map(lambda i: i / 100))
def test_a4_the_t_test_is_scipys_and_agrees_with_the_interval(values: list[float], bound: float) -> None:
    if len(set(values)) == 1:
        assert t_test(values, bound) == (1.0 if values[0] == bound else 0.0)
        return
    p = t_test(values, bound)
    assert p == pytest.approx(ttest_1samp(values, bound).pvalue, abs=1e-9)
    low, high = interval(values)
    if abs(p - 0.05) > 1e-9:
        assert (p < 0.05) == (not low <= bound <= high)


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    [
        (3, 3, 0.025 ** (1 / 3), 1.0),
        (0, 10, 0.0, 1 - 0.025**0.1),
        (9, 10, beta.ppf(0.025, 9, 2), beta.ppf(0.975, 10, 1)),
    ],
)
def test_a4_clopper_and_pearsons_interval(successes: int, trials: int, low: float, high: float) -> None:
    assert share_interval(successes, trials) == pytest.approx((low, high), abs=1e-9)


def test_a4_the_binomial_test_by_hand() -> None:
    assert binomial_test(9, 10, 0.5) == pytest.approx(2 * 11 / 1024)
    assert binomial_test(1, 10, 0.5) == pytest.approx(2 * 11 / 1024)
    assert binomial_test(5, 10, 0.5) == 1.0
    assert binomial_test(3, 3, 0.9) == 1.0
    assert binomial_test(0, 3, 0.9) == pytest.approx(0.002)


@pytest.mark.parametrize("share", [0.3, 0.5, 0.8])
@pytest.mark.parametrize("trials", [10, 11, 17, 30])
def test_a4_the_binomial_test_agrees_with_the_interval(trials: int, share: float) -> None:
    for successes in range(trials + 1):
        low, high = share_interval(successes, trials)
        assert (binomial_test(successes, trials, share) < 0.05) == (not low <= share <= high)


@pytest.mark.parametrize(
    ("bound", "words"),
    [({"at_most": 0.5}, ["shown", "open", "contradicted"]), ({"at_least": 0.5}, ["contradicted", "open", "shown"])],
)
def test_an_interval_compared_with_a_bound(bound: dict[str, float], words: list[str]) -> None:
    assert [compared(*ends, **bound) for ends in ((0.1, 0.5 - 1e-9), (0.4, 0.6), (0.5 + 1e-9, 0.9))] == words
    (only,) = bound
    assert compared(0.5, 0.5, **bound) == "shown", f"0.5 is {only} 0.5"
