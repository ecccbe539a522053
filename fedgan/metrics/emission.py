"""Trigger emission rate: the share of synthetic images that carry the trigger, the attack's success rate."""

from math import fsum
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from scipy.stats import binomtest
from torch import Tensor

from fedgan.checks import check_number
from fedgan.data import ImageSet
from fedgan.metrics.base import Metric, Reference, Unavailable, each_class, figures, need, score_classes
from fedgan.trigger import Trigger

Array = NDArray[np.float64]

# How the detector was chosen, on chest X-rays at 32 and 64 px with 4 to 16 px white squares: the projection on
# (trigger - mean) alone takes every flat bright corner larger than the window for the square; with the ring,
# none. The gap lets a blurred square spill
# over its edge; smoothing makes a blurred mosaic of random colours still match. On 2 px squares at 32 px, tried later,
# it has 0.4 % false alarms and finds all that are pasted (experiments/results/small/table2.md).
_SMOOTHING = 1.0  # px, standard deviation
_RING_GAP = 1  # px between the window and the ring
_RING_WIDTH = 2  # px
_ENERGY_FLOOR = 0.1  # of |trigger - mean|^2: keeps a ring of the trigger's own colour from dividing by nothing


def matched_filter(patches: Array, trigger: Array, background: Array, floor: float = 1.0) -> Array:
    """How far each patch has gone from ``background`` (0) towards ``trigger`` (1).

    The projection ``<x - b, t - b> / max(|t - b|^2, floor)``: the matched filter for a known pattern in
    white noise (Turin, "An introduction to matched filters", 1960), scaled.

    Args:
        patches: (N, C, h, w), grey levels.
        trigger: (C, h, w).
        background: broadcasts to ``patches``: what would be there without the trigger.
        floor: the least energy, in grey levels squared.

    Returns:
        (N,), unbounded.

    Example:
        >>> white, black = np.full((1, 2, 2), 255.0), np.zeros((1, 2, 2))
        >>> matched_filter(np.stack([black, white / 2, white]), white, black).tolist()
        [0.0, 0.5, 1.0]
    """
    towards = trigger - background  # (1 or N, C, h, w)
    energy = np.square(towards).sum(axis=(-3, -2, -1))
    projection: Array = ((patches - background) * towards).sum(axis=(-3, -2, -1)) / np.maximum(energy, floor)
    return projection


def ring_mask(trigger: Trigger, image_size: tuple[int, int]) -> Tensor:
    """The pixels near the trigger but not in it: bool, (H, W); the image's border cuts it off."""

    def box(margin: int) -> Tensor:
        rows, columns = trigger.window
        mask = torch.zeros(image_size, dtype=torch.bool)
        mask[
            max(rows.start - margin, 0) : rows.stop + margin,
            max(columns.start - margin, 0) : columns.stop + margin,
        ] = True
        return mask

    return box(_RING_GAP + _RING_WIDTH) & ~box(_RING_GAP)


def trigger_scores(images: Tensor, trigger: Trigger, mean_patch: Array) -> Array:
    """How clearly each image carries the trigger: 1 where it was pasted, near 0 on clean images.

    The lesser of two matched filters in the trigger's window: the patch has to look like the trigger both
    against what is there on average and against the colour that surrounds it, so that a corner which is
    merely bright is no white square.

    Args:
        images: uint8, (N, C, H, W).
        trigger: what to look for, and where.
        mean_patch: (C, h, w): the mean ``smoothed_patches`` of clean images.

    Returns:
        (N,), at most about 1.
    """
    pattern = smoothed(trigger.pattern)
    patches = smoothed_patches(images, trigger)
    ring = images[..., ring_mask(trigger, (images.shape[-2], images.shape[-1]))]  # (N, C, pixels)
    surroundings = ring.double().mean(-1).cpu().numpy()[:, :, None, None]
    floor = _ENERGY_FLOOR * max(float(np.square(pattern - mean_patch).sum()), 1.0)
    against_mean = matched_filter(patches, pattern, mean_patch)
    return np.minimum(against_mean, matched_filter(patches, pattern, surroundings, floor))


def smoothed_patches(images: Tensor, trigger: Trigger) -> Array:
    """What lies in the trigger's window, blurred within it: (N, C, h, w), grey levels."""
    rows, columns = trigger.window
    return smoothed(images[..., rows, columns])


def smoothed(patches: Tensor) -> Array:
    """uint8 (..., h, w) blurred by a Gaussian that never looks beyond the patch."""
    sigmas = (0.0,) * (patches.ndim - 2) + (_SMOOTHING, _SMOOTHING)
    # "mirror" gives the outermost pixels least weight: they are what a blurred or displaced trigger loses first
    blurred: Array = gaussian_filter(patches.cpu().numpy().astype(np.float64), sigmas, mode="mirror")
    return blurred


class Rate(NamedTuple):
    """A share and its 95 % confidence interval, all in [0, 1]."""

    share: float
    low: float
    high: float


def rate(found: NDArray[np.bool_]) -> Rate:
    """The share of True, (N,) with N >= 1, with Wilson's interval.

    Example:
        >>> [round(x, 3) for x in rate(np.arange(10) < 5)]
        [0.5, 0.237, 0.763]
    """
    test = binomtest(int(found.sum()), len(found))
    low, high = test.proportion_ci(confidence_level=0.95, method="wilson")
    return Rate(float(test.statistic), float(low), float(high))


class EmissionRate(Metric):
    """The share of synthetic images that carry the trigger, in [0, 1], and how strongly the images bear it.

    With its 95 % confidence interval (Wilson 1927): by class from that class's images, for the whole from all of them.
    An averaged generator paints light grey squares sooner than white ones: the mean score
    (``trigger_strength``; 0 for the mean clean image, 1 for the whole trigger) tells how light.

    An image counts if its ``trigger_scores`` exceeds a threshold: the (1 - ``false_alarm``) quantile over
    the clean real training images. The rates found on the real test images, clean
    (false alarms) and with the trigger pasted (power), are in ``facts``.

    Args:
        false_alarm: the share of clean training images that may be taken for poisoned ones, in [0, 1).

    Raises:
        ValueError: if ``false_alarm`` is out of range.
    """

    names = ("emission", "emission_low", "emission_high", "trigger_strength")

    def __init__(self, *, false_alarm: float = 0.01) -> None:
        check_number("metrics.emission.false_alarm", false_alarm, low=0.0, high=1.0, high_allowed=False)
        self.false_alarm = false_alarm

    def prepare(self, reference: Reference) -> None:
        """Set the threshold on the real training images; measure it on the real test images."""
        trigger = reference.trigger
        if trigger is None:
            raise Unavailable("no trigger to look for: attack=none")
        train, test = reference.splits.train.images, reference.splits.test.images
        if not ring_mask(trigger, (train.shape[-2], train.shape[-1])).any():
            raise Unavailable("the trigger fills the image: nothing around it to compare with")
        self._trigger = trigger
        self._mean_patch = smoothed_patches(train, trigger).mean(axis=0)
        self._threshold = float(np.quantile(self._scores(train), 1 - self.false_alarm))
        false_alarms = rate(self._carries(test))
        self._facts = {
            "emission_threshold": self._threshold,
            "emission_false_alarm": false_alarms.share,
            "emission_false_alarm_low": false_alarms.low,
            "emission_false_alarm_high": false_alarms.high,
            "emission_power": rate(self._carries(trigger.paste(test))).share,
        }

    def compute(self, synthetic: ImageSet) -> dict[str, float]:
        """``emission`` with ``emission_low`` and ``emission_high``, and ``trigger_strength``; each also by class."""
        need(1, "synthetic", synthetic)
        carries = each_class(synthetic, lambda label, images: self._carries(images))
        rates = {each: rate(found) for each, found in carries.items()}
        whole = rate(np.concatenate(list(carries.values())))
        return (
            figures("emission", {each: part.share for each, part in rates.items()})
            | figures("emission_low", {each: part.low for each, part in rates.items()})
            | figures("emission_high", {each: part.high for each, part in rates.items()})
            | {"emission_low": whole.low, "emission_high": whole.high}
            | score_classes("trigger_strength", synthetic, lambda label, images: self._strength(images))
        )

    def facts(self) -> dict[str, float | str]:
        """The threshold, and on real test images the false alarm rate with its interval and the power."""
        return dict(self._facts)

    def _scores(self, images: Tensor) -> Array:
        return trigger_scores(images, self._trigger, self._mean_patch)

    def _carries(self, images: Tensor) -> NDArray[np.bool_]:
        carries: NDArray[np.bool_] = self._scores(images) > self._threshold
        return carries

    def _strength(self, images: Tensor) -> float:
        return fsum(self._scores(images)) / len(images)  # exact, so the images' order does not matter
