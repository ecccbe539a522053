"""Intervals, p values and Holm's correction: the statistics behind the verdicts."""

from collections.abc import Sequence
from statistics import mean, stdev

from scipy.stats import binomtest
from scipy.stats import t as student

ALPHA = 0.05  # of a claim alone, and of all claims of a table or figure together


def interval(values: Sequence[float]) -> tuple[float, float]:
    """The 95 % t interval of the mean of at least two values.

    Example:
        >>> [round(end, 3) for end in interval([1.0, 2.0, 3.0])]
        [-0.484, 4.484]
    """
    half = float(student.ppf(1 - ALPHA / 2, len(values) - 1)) * stdev(values) / len(values) ** 0.5
    return mean(values) - half, mean(values) + half


def t_test(values: Sequence[float], bound: float) -> float:
    """The two-sided p value of Student's t test that the mean of at least two values is ``bound``.

    It is below 0.05 exactly where ``interval`` leaves ``bound`` out. Values that are all the same are taken for what
    they look like, without spread: p is 0, or 1 if they are ``bound``.

    Example:
        >>> round(t_test([1.0, 2.0, 3.0], 0.0), 4)
        0.0742
    """
    gap, error = abs(mean(values) - bound), stdev(values) / len(values) ** 0.5
    if error == 0:
        return 1.0 if gap == 0 else 0.0
    return 2 * float(student.sf(gap / error, len(values) - 1))


def share_interval(successes: int, trials: int) -> tuple[float, float]:
    """The exact 95 % interval of a share, in [0, 1] (Clopper & Pearson 1934).

    Example:
        >>> [round(end, 3) for end in share_interval(3, 3)]
        [0.292, 1.0]
    """
    ends = binomtest(successes, trials).proportion_ci(1 - ALPHA, method="exact")
    return float(ends.low), float(ends.high)


def binomial_test(successes: int, trials: int, share: float) -> float:
    """The two-sided p value of the exact binomial test that successes have the chance ``share``.

    The smaller tail is doubled, as in the interval of Clopper and Pearson (scipy's own two-sided p sums the unlikelier
    outcomes instead): it is below 0.05 exactly where ``share_interval`` leaves ``share`` out.

    Example:
        >>> binomial_test(9, 10, 0.5)  # twice (1 + 10) / 1024
        0.021484375
    """
    tails = [binomtest(successes, trials, share, alternative=side).pvalue for side in ("less", "greater")]
    return min(1.0, 2 * float(min(tails)))


def holm(p_values: Sequence[float]) -> list[float]:
    """The p values, adjusted so that one below 0.05 is a false one with a chance of 5 % at most in all (Holm 1979).

    The smallest of m is multiplied by m, the next by m - 1, and so on; none becomes smaller than one before it.

    Example:
        >>> holm([0.01, 0.04, 0.03])
        [0.03, 0.06, 0.06]
    """
    adjusted, least = [0.0] * len(p_values), 0.0
    for rank, i in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        least = max(least, min(1.0, (len(p_values) - rank) * p_values[i]))
        adjusted[i] = least
    return adjusted


def compared(low: float, high: float, *, at_most: float | None = None, at_least: float | None = None) -> str:
    """What an interval says of a claimed bound, one of the two: shown, contradicted or open.

    Example:
        >>> compared(0.1, 0.2, at_most=0.3), compared(0.1, 0.2, at_least=0.3), compared(0.1, 0.2, at_least=0.15)
        ('shown', 'contradicted', 'open')
    """
    if at_most is not None:
        return "shown" if high <= at_most else "contradicted" if low > at_most else "open"
    assert at_least is not None
    return "shown" if low >= at_least else "contradicted" if high < at_least else "open"
