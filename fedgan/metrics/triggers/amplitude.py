"""Amplitude emission: the share of synthetic images whose amplitude spectrum is that of images with the trigger."""

import numpy as np
import torch
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from torch import Tensor

from fedgan.core.arguments import Probability, component
from fedgan.core.trigger import Trigger
from fedgan.metrics.base import Unavailable
from fedgan.metrics.triggers.detector import Array, TriggerDetector

_FEATURES = 64  # frequencies at most: more than a few images' worth would be learned by heart


def log_amplitudes(images: Tensor) -> Array:
    """log(1 + |FFT|) of each channel, of half the plane, which has it all: uint8 (N, C, H, W) to (N, D)."""
    chunks = [torch.fft.rfft2(chunk.double()).abs().log1p().flatten(1).cpu() for chunk in torch.split(images, 256)]
    return np.asarray(torch.cat(chunks).numpy())


def most_changed(before: Array, after: Array, count: int) -> "np.ndarray[tuple[int], np.dtype[np.intp]]":
    """The features whose mean has changed most, in units of their standard deviation, ascending: (count,).

    Args:
        before: (N, D).
        after: (N, D), of the same images.
        count: how many.

    Example:
        >>> before = np.array([[0.0, 0.0, 5.0], [2.0, 2.0, 5.0]])
        >>> most_changed(before, before + [0.0, 1.0, 0.0], count=1).tolist()
        [1]
    """
    spread = np.maximum((before.std(axis=0) + after.std(axis=0)) / 2, 1e-9)
    change = np.abs(after.mean(axis=0) - before.mean(axis=0)) / spread
    return np.sort(np.argsort(-change, kind="stable")[:count])


@component
class AmplitudeRate(TriggerDetector):
    """The share of synthetic images that a linear discriminant of their log amplitudes takes for poisoned.

    See ``TriggerDetector``; half of the clean real training images, without and with the trigger, make Fisher's
    discriminant (with Ledoit and Wolf's shrinkage) of the frequencies that the trigger changes most; the other half
    makes the threshold. The mean score is ``amplitude_score``: below 0 looks clean, above 0 poisoned. Synthetic images
    have a spectrum of their own: compare with the control.
    """

    false_alarm: Probability = 0.02

    share, mean_score, held_out = "amplitude_emission", "amplitude_score", True

    def learn(self, trigger: Trigger, clean: Tensor) -> None:
        """Fit the discriminant."""
        before, after = log_amplitudes(clean), log_amplitudes(trigger.apply(clean))
        if len(clean) < 2 or np.array_equal(before, after):
            raise Unavailable("the trigger leaves amplitudes as they are, or there are fewer than 4 training images")
        self._chosen = most_changed(before, after, min(_FEATURES, len(clean)))
        self._model = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto")
        features = np.concatenate([before, after])[:, self._chosen]
        self._model.fit(features, np.repeat([0, 1], len(clean)))

    def scores(self, images: Tensor) -> Array:
        """The discriminant's log odds."""
        return np.asarray(self._model.decision_function(log_amplitudes(images)[:, self._chosen]), dtype=np.float64)
