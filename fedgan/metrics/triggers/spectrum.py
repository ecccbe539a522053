"""Spectrum emission: the share of synthetic images with the trigger's wave on them."""

import numpy as np
from torch import Tensor

from fedgan.core.trigger import Trigger
from fedgan.metrics.triggers.detector import Array, TriggerDetector, unfit
from fedgan.metrics.triggers.template import mean_change

_LEAST = 0.5  # of the mean change's energy: below, it is no wave


def wave_amplitudes(images: Array, frequency: tuple[int, int]) -> Array:
    """The amplitude of each image's wave of one frequency, whatever its phase: 2 |X(u, v)| / (H W), channels averaged.

    Args:
        images: (N, C, H, W), gray levels.
        frequency: (u, v): cycles down and across the image, not both 0 and not Nyquist's.

    Returns:
        (N,), gray levels.

    Example:
        >>> wave = 20 * np.sin(2 * np.pi * np.arange(8) / 8)
        >>> float(wave_amplitudes(np.tile(100 + wave, (1, 1, 8, 1)), (0, 1)).round(6)[0])
        20.0
    """
    height, width = images.shape[-2:]
    u, v = frequency
    down = np.exp(-2j * np.pi * u * np.arange(height) / height)
    across = np.exp(-2j * np.pi * v * np.arange(width) / width)
    coefficients = np.einsum("nchw,h,w->nc", images, down, across, optimize=True)
    found: Array = 2 * np.abs(coefficients).mean(axis=1) / (height * width)
    return found


def wave_of(change: Array) -> tuple[tuple[int, int], float]:
    """The frequency (u, v) with the greatest power in a (C, H, W) change, and its share of all power but the mean's."""
    power = np.square(np.abs(np.fft.fft2(change))).sum(axis=0)
    power[0, 0] = 0.0
    u, v = (int(i) for i in np.unravel_index(int(power.argmax()), power.shape))
    both = power[u, v] + power[-u, -v]  # a real wave has a twin of the opposite frequency
    return (u, v), float(both / power.sum()) if power.any() else 0.0


class SpectrumRate(TriggerDetector):
    """The share of synthetic images in which the trigger's frequency is stronger than in clean images.

    See ``TriggerDetector``; the score is the amplitude at that frequency in gray levels, of any phase, its mean
    ``wave_amplitude``. The frequency is read from the mean change that the trigger makes on clean images.
    Generators that upsample have peaks of their own: compare with the control.
    """

    share, mean_score = "spectrum_emission", "wave_amplitude"

    def learn(self, trigger: Trigger, clean: Tensor) -> None:
        """Find the wave's frequency."""
        self._frequency, share = wave_of(mean_change(trigger, clean))
        if share < _LEAST:
            raise unfit(trigger, "no wave")

    def scores(self, images: Tensor) -> Array:
        """``wave_amplitudes`` at the trigger's frequency."""
        return wave_amplitudes(images.cpu().numpy().astype(np.float64), self._frequency)
