"""Emission at any place: the share of synthetic images in which the trigger's pattern is found somewhere."""

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from fedgan.core.trigger import Patch, Trigger, WanderingPatch
from fedgan.metrics.base import Unavailable
from fedgan.metrics.triggers.detector import Array, TriggerDetector, unfit

_FLAT = 0.5  # gray levels squared per pixel: below, a window has no pattern, only rounding
_CHUNK = 256  # images at once


def best_correlations(images: Tensor, pattern: Tensor) -> Tensor:
    """The greatest normalized cross-correlation with a pattern over all places where it fits, in [-1, 1].

    At each place as ``fedgan.metrics.triggers.pattern.correlations`` has it: every channel's mean taken out.

    Args:
        images: float64, (N, C, H, W), gray levels.
        pattern: float64, (C, h, w), not flat in all channels.

    Returns:
        float64, (N,); flat windows count as 0.
    """
    height, width = pattern.shape[-2:]
    down, across = images.shape[-2] - height + 1, images.shape[-1] - width + 1
    centered = pattern - pattern.mean(dim=(1, 2), keepdim=True)
    # the correlation theorem; where the pattern fits nothing wraps around
    spectrum = torch.fft.rfft2(images) * torch.fft.rfft2(centered, s=images.shape[-2:]).conj()
    products = torch.fft.irfft2(spectrum.sum(dim=1), s=images.shape[-2:])[:, :down, :across]
    sums, squares = window_sums(images, height, width), window_sums(images.square(), height, width)
    energy = (squares - sums.square() / (height * width)).sum(dim=1)  # of the window about its channels' means
    norms = (energy.clamp(min=1e-9) * centered.square().sum()).sqrt()
    found = torch.where(energy > _FLAT * pattern.numel(), products / norms, 0.0)
    return found.flatten(1).amax(dim=1)


def window_sums(values: Tensor, height: int, width: int) -> Tensor:
    """The sum over each window of this size: (..., H, W) to (..., H - height + 1, W - width + 1).

    Example:
        >>> window_sums(torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]), 2, 2).tolist()
        [[12.0, 16.0]]
    """
    total = pad(values.cumsum(dim=-2).cumsum(dim=-1), (1, 0, 1, 0))
    both = total[..., height:, :] - total[..., :-height, :]
    return both[..., width:] - both[..., :-width]


class AnywhereRate(TriggerDetector):
    """The share of synthetic images in which the trigger's pattern is found at some place, whatever its strength.

    See ``TriggerDetector``; the score is that of ``best_correlations``, its mean ``anywhere_correlation``. Where
    thousands of places compete the threshold is high, and a faint pattern is missed: for a trigger at a known place
    ``pattern`` has more power. A trigger of one color has no pattern.
    """

    share, mean_score = "anywhere_emission", "anywhere_correlation"

    def learn(self, trigger: Trigger, clean: Tensor) -> None:
        """Nothing but the pattern; clean images make the threshold."""
        if not isinstance(trigger, WanderingPatch | Patch):
            raise unfit(trigger, "no patch")
        self._pattern = trigger.pattern.cpu().double()
        if not (self._pattern.amax(dim=(1, 2)) > self._pattern.amin(dim=(1, 2))).any():
            raise Unavailable("the trigger is of one color: there is no pattern in it")

    def scores(self, images: Tensor) -> Array:
        """``best_correlations``, in chunks."""
        chunks = [best_correlations(chunk.cpu().double(), self._pattern) for chunk in torch.split(images, _CHUNK)]
        return np.asarray(torch.cat(chunks).numpy())
