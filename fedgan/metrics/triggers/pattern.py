"""Pattern emission: the share of synthetic images in which the trigger's own pattern is found, however faint."""

import numpy as np
from torch import Tensor

from fedgan.core.trigger import Trigger
from fedgan.metrics.base import Unavailable
from fedgan.metrics.triggers.detector import Array, TriggerDetector, patch_of


def correlations(patches: Array, pattern: Array) -> Array:
    """The normalized cross-correlation of each patch with a pattern, in [-1, 1] (Lewis, "Fast normalized
    cross-correlation", 1995), every channel's mean taken out: neither the patch's color nor its contrast matters.

    Args:
        patches: (N, C, h, w).
        pattern: (C, h, w), not flat in all channels.

    Returns:
        (N,); 0 for a flat patch.

    Example:
        >>> pattern = np.array([[[0.0, 255.0], [255.0, 0.0]]])
        >>> faint, inverse, flat = 90 + pattern / 20, 255 - pattern, 0 * pattern
        >>> correlations(np.stack([faint, inverse, flat]), pattern).round(6).tolist()
        [1.0, -1.0, 0.0]
    """
    a, b = (x - x.mean(axis=(-2, -1), keepdims=True) for x in (patches, pattern))
    norms = np.sqrt(np.square(a).sum(axis=(-3, -2, -1)) * np.square(b).sum())
    products = (a * b).sum(axis=(-3, -2, -1))
    found: Array = np.divide(products, norms, out=np.zeros_like(products), where=norms > 0)
    return found


class PatternRate(TriggerDetector):
    """The share of synthetic images in which the trigger's pattern is found in its place, whatever its strength.

    See ``TriggerDetector``; the score is that of ``correlations``, its mean ``pattern_correlation``. A federation's
    average paints a random mosaic with a fraction of its contrast, which ``emission`` takes for clean
    (experiments/LOG.md). A trigger of one color has no pattern: white squares have no such value.

    Args:

    Raises:
        ValueError: if ``false_alarm`` is out of range.
    """

    share, mean_score = "pattern_emission", "pattern_correlation"

    def learn(self, trigger: Trigger, clean: Tensor) -> None:
        """Nothing but the trigger; clean images make the threshold."""
        patch = patch_of(trigger)
        pattern = patch.pattern.cpu().numpy().astype(np.float64)
        if not np.ptp(pattern, axis=(-2, -1)).any():
            raise Unavailable("the trigger is of one color: there is no pattern in it")
        self._window, self._pattern = patch.window, pattern

    def scores(self, images: Tensor) -> Array:
        """``correlations`` in the trigger's window."""
        rows, columns = self._window
        return correlations(images[..., rows, columns].cpu().numpy().astype(np.float64), self._pattern)
