"""Accuracy against the number of real training images: the curve, the differences between its arms, the picture."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from statistics import mean, stdev

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.stats import bootstrap

from fedgan.core.files import atomic_write
from fedgan.core.rng import derive_seed

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Fit:
    """One classifier and what it answered to the real test images.

    Attributes:
        arm: which synthetic images it was trained with.
        real_per_class: real training images of each class.
        seed: of the choice of real images, the latents, the first weights and the batches.
        accuracy: share of the balanced test set that it recognizes.
        balanced_accuracy: the mean over classes of the share that it recognizes among all test images.
        transfer_attack_rate: share of the balanced test set that it answers differently to once the trigger is
            pasted; None where no trigger is known.
        seconds: that training and testing took.
        correct: for each image of the balanced test set, ``1`` if it is recognized, else ``0``.
    """

    arm: str
    real_per_class: int
    seed: int
    accuracy: float
    balanced_accuracy: float
    transfer_attack_rate: float | None
    seconds: float
    correct: str


@dataclass(frozen=True)
class Point:
    """Mean and standard deviation of an arm's accuracy over the seeds; None where there is one seed."""

    arm: str
    real_per_class: int
    mean: float
    std: float | None
    num_seeds: int


@dataclass(frozen=True)
class Difference:
    """How much better ``arm`` does than ``against``: the accuracies' mean difference, and its 95 % interval."""

    arm: str
    against: str
    real_per_class: int
    difference: float
    low: float
    high: float


def curve(fits: Sequence[Fit]) -> list[Point]:
    """The points of Figure 7, by arm and number of real images, in the order in which the fits come."""
    points = []
    for (arm, n), group in grouped(fits).items():
        values = [fit.accuracy for fit in group]
        points.append(Point(arm, n, mean(values), stdev(values) if len(values) > 1 else None, len(values)))
    return points


def differences(fits: Sequence[Fit]) -> list[Difference]:
    """Each arm against every arm that comes before it, at each number of real images.

    The interval shows how far the difference depends on which test images were used. How far it depends on the
    classifiers' seeds is shown by the points' standard deviations; how far on the luck of the one generator behind
    an arm, by neither: that takes runs of several seeds.
    """
    groups = grouped(fits)
    found = []
    for n in sorted({n for _, n in groups}):
        for against, arm in combinations([arm for arm, count in groups if count == n], 2):
            gain = share_correct(groups[arm, n]) - share_correct(groups[against, n])
            low, high = bootstrap_interval(gain, seed=derive_seed(0, "bootstrap"))
            found.append(Difference(arm, against, n, float(gain.mean()), low, high))
    return found


def grouped(fits: Sequence[Fit]) -> Mapping[tuple[str, int], list[Fit]]:
    """The fits of all seeds by arm and number of real images."""
    groups: dict[tuple[str, int], list[Fit]] = {}
    for fit in fits:
        groups.setdefault((fit.arm, fit.real_per_class), []).append(fit)
    return groups


def share_correct(fits: Sequence[Fit]) -> Array:
    """For each test image the share of the classifiers that recognize it: (images,)."""
    shares: Array = np.array([list(fit.correct) for fit in fits], dtype=np.float64).mean(axis=0)
    return shares


def bootstrap_interval(values: Array, seed: int) -> tuple[float, float]:
    """The 95 % percentile bootstrap interval of the mean (Efron & Tibshirani 1993, Chapter 13).

    Of differences between paired values this is the paired bootstrap. scipy's default, BCa, does not exist
    where all values are equal.

    Args:
        values: (N,), N >= 2.
        seed: of the resampling.

    Example:
        >>> bootstrap_interval(np.zeros(10), seed=0)
        (0.0, 0.0)
    """
    rng = np.random.default_rng(seed)
    interval = bootstrap((values,), np.mean, method="percentile", random_state=rng).confidence_interval
    return float(interval.low), float(interval.high)


def draw_curve(points: Sequence[Point], path: Path, *, title: str) -> None:
    """Write the picture: one line per arm, its band one standard deviation to either side (Figure 7)."""
    figure = Figure(figsize=(7, 4.5), dpi=150, layout="constrained")
    plot_curve(figure.subplots(), points, title=title)
    atomic_write(path, figure.savefig)


def plot_curve(axes: Axes, points: Sequence[Point], *, title: str) -> None:
    """Draw the curve."""
    for arm in dict.fromkeys(point.arm for point in points):
        own = sorted((point.real_per_class, point.mean, point.std or 0.0) for point in points if point.arm == arm)
        x, y, std = np.array(own).T
        (line,) = axes.plot(x, y, marker="o", markersize=4, label=arm)
        axes.fill_between(x, y - std, y + std, color=line.get_color(), alpha=0.15, linewidth=0)
    axes.set_xscale("symlog", linthresh=1)  # logarithmic, with a place for 0
    counts = sorted({point.real_per_class for point in points})
    axes.set_xticks(counts, [str(n) for n in counts], rotation=45)  # those of hundreds are close together
    axes.set_xticks([], minor=True)
    axes.set(xlabel="real training images per class", ylabel="accuracy on real test images", title=title)
    axes.grid(alpha=0.3)
    axes.legend()
