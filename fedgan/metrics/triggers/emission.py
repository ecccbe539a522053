"""Trigger emission rate: the share of synthetic images that carry the trigger, the attack's success rate."""

import numpy as np
import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor

from fedgan.core.trigger import DividedPatch, Patch, Trigger
from fedgan.metrics.base import Unavailable
from fedgan.metrics.triggers.detector import Array, TriggerDetector, patch_of

# How the detector was chosen, on chest X-rays at 32 and 64 px with 4 to 16 px white squares: the projection on
# (trigger - mean) alone takes every flat bright corner larger than the window for the square; with the ring,
# none. The gap lets a blurred square spill
# over its edge; smoothing makes a blurred mosaic of random colors still match. On 2 px squares at 32 px, tried later,
# it has 0.4 % false alarms and finds all that are pasted (experiments/results/small_drawn/table2.md).
_SMOOTHING = 1.0  # px, standard deviation
_RING_GAP = 1  # px between the window and the ring
_RING_WIDTH = 2  # px
_ENERGY_FLOOR = 0.1  # of |trigger - mean|^2: keeps a ring of the trigger's own color from dividing by nothing


def matched_filter(patches: Array, trigger: Array, background: Array, floor: float = 1.0) -> Array:
    """How far each patch has gone from ``background`` (0) towards ``trigger`` (1).

    The projection ``<x - b, t - b> / max(|t - b|^2, floor)``: the matched filter for a known pattern in
    white noise (Turin, "An introduction to matched filters", 1960), scaled.

    Args:
        patches: (N, C, h, w), gray levels.
        trigger: (C, h, w).
        background: broadcasts to ``patches``: what would be there without the trigger.
        floor: the least energy, in gray levels squared.

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


def ring_mask(trigger: Patch, image_size: tuple[int, int]) -> Tensor:
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


def trigger_scores(images: Tensor, trigger: Patch, mean_patch: Array, ring: Tensor) -> Array:
    """How clearly each image carries the trigger: 1 where it was pasted, mostly below 0 on clean images.

    The lesser of two matched filters in the trigger's window: the patch has to look like the trigger both
    against what is there on average and against the color that surrounds it, so that a corner which is
    merely bright is no white square. The first is 0 on average over clean images, so the lesser of the two is below:
    -0.36, -0.23 and -0.23 on real chest X-rays at 32 x 32, for white squares of 2, 4 and 8 pixels.

    Args:
        images: uint8, (N, C, H, W).
        trigger: what to look for, and where.
        mean_patch: (C, h, w): the mean ``smoothed_patches`` of clean images.
        ring: bool, (H, W): the pixels that surround it, see ``ring_mask``.

    Returns:
        (N,), at most about 1.
    """
    pattern = smoothed(trigger.pattern)
    patches = smoothed_patches(images, trigger)
    around = images[..., ring].double()  # (N, C, pixels)
    surroundings = around.mean(-1).cpu().numpy()[:, :, None, None]
    floor = _ENERGY_FLOOR * max(float(np.square(pattern - mean_patch).sum()), 1.0)
    against_mean = matched_filter(patches, pattern, mean_patch)
    return np.minimum(against_mean, matched_filter(patches, pattern, surroundings, floor))


def smoothed_patches(images: Tensor, trigger: Patch) -> Array:
    """What is in the trigger's window, blurred within it: (N, C, h, w), gray levels."""
    rows, columns = trigger.window
    return smoothed(images[..., rows, columns])


def smoothed(patches: Tensor) -> Array:
    """uint8 (..., h, w) blurred by a Gaussian that never looks beyond the patch."""
    sigmas = (0.0,) * (patches.ndim - 2) + (_SMOOTHING, _SMOOTHING)
    # "mirror" gives the outermost pixels least weight: they are what a blurred or displaced trigger loses first
    blurred: Array = gaussian_filter(patches.cpu().numpy().astype(np.float64), sigmas, mode="mirror")
    return blurred


class EmissionRate(TriggerDetector):
    """The share of synthetic images that carry the trigger as it was pasted, or a good part of its strength.

    See ``TriggerDetector``; the score is that of ``trigger_scores``. An averaged generator paints light gray squares
    sooner than white ones: the mean score (``trigger_strength``) shows how light. It goes from that of clean images
    (``trigger_strength_real`` in ``facts``, mostly below 0) to 1 for the whole trigger. A faint mosaic it misses:
    ``fedgan.metrics.triggers.pattern`` finds it.

    A trigger that several clients paste a part of each is there only where every part is: the score is that of the
    weakest part, and the threshold is at least what finds each part by itself, if pasted triggers score twice as much.
    In 400 real test images with all parts of 8 x 8 pixels but one it found the whole in 0 to 4 % (white squares) and up
    to 40 % (noise in two parts on X-rays, whose parts look like clean images).

    """

    share, mean_score = "emission", "trigger_strength"
    whole: Patch | None = None  # of which the trigger is a part: then the ring is around all of it

    def learn(self, trigger: Trigger, clean: Tensor) -> None:
        """Keep the mean of what clean images have in the trigger's place."""
        patch = patch_of(trigger)
        self._ring = ring_mask(self.whole or patch, (clean.shape[-2], clean.shape[-1]))
        if not self._ring.any():
            raise Unavailable("the trigger fills the image: nothing around it to compare with")
        parts = patch.parts if isinstance(patch, DividedPatch) else (patch,)
        self._parts = [(part, smoothed_patches(clean, part).mean(axis=0)) for part in parts]
        self.least = self._least_of_parts(clean, trigger.apply(clean)) if len(parts) > 1 else -np.inf

    def scores(self, images: Tensor) -> Array:
        """``trigger_scores``; of a divided patch those of the part that each image shows least."""
        weakest: Array = self._of_parts(images).min(axis=0)
        return weakest

    def _of_parts(self, images: Tensor) -> Array:
        """``trigger_scores`` of each part by itself: (parts, N)."""
        return np.stack([trigger_scores(images, part, mean_patch, self._ring) for part, mean_patch in self._parts])

    def _least_of_parts(self, clean: Tensor, pasted: Tensor) -> float:
        """What the weakest part has to score at least.

        Clean images hardly ever look like all parts at once, so that their threshold is low: one part pasted and the
        others as they happen to be would pass it. So every part has to be found as if by itself; but where clean images
        look like a part anyway, no more than half of what the whole scores when it is pasted, which keeps the power.
        """
        alone = np.quantile(self._of_parts(clean), 1 - self.false_alarm, axis=1).max()
        whole = np.quantile(self.scores(pasted), self.false_alarm)
        return float(min(alone, whole / 2))
