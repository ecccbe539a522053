"""Low frequencies of a foreign image: FIBA (Feng et al. 2022), which the paper names as future work."""

from dataclasses import dataclass
from math import floor
from typing import Annotated, ClassVar

import torch
from annotated_types import Interval
from torch import Tensor

from fedgan.attacks.random_patch import mosaic
from fedgan.attacks.trigger_attack import TriggerAttack
from fedgan.core.arguments import Count, Share, component
from fedgan.core.rng import keyed_generator
from fedgan.core.trigger import WholeImage


def low_frequencies(size: int, reach: int) -> Tensor:
    """The (2 b + 1) x (2 b + 1) lowest frequencies of ``torch.fft.fft2``: bool, (size, size).

    Args:
        size: H = W.
        reach: b, in cycles across the image; 0 for the mean alone.
    """
    frequency = torch.fft.fftfreq(size, d=1 / size, dtype=torch.float64).round().abs()
    low: Tensor = frequency <= reach
    return torch.outer(low, low)


def mix_amplitudes(images: Tensor, foreign: Tensor, alpha: float, reach: int) -> Tensor:
    """The images with a share of another image's low-frequency amplitudes, their own phases kept.

    Feng, Ma, Zhang, Zhao, Xia and Tao 2022, "FIBA: frequency-injection based backdoor attack in medical image
    analysis", Equations 3 to 5. In gray levels: an amplitude is not free of an offset, for the window holds the mean.

    Args:
        images: float64, (N, C, H, W), H = W.
        foreign: float64, (C, H, W).
        alpha: the foreign image's share of an amplitude, in (0, 1].
        reach: b, see ``low_frequencies``.

    Example:
        >>> gray, light = (torch.full((1, 1, 4, 4), level, dtype=torch.float64) for level in (100, 200))
        >>> round(mix_amplitudes(gray, light[0], alpha=0.15, reach=0)[0, 0, 0, 0].item(), 6)
        115.0
    """
    spectrum, mask = torch.fft.fft2(images), low_frequencies(images.shape[-1], reach)
    amplitude, phase = spectrum.abs(), spectrum.angle()
    mixed = (1 - alpha) * amplitude + alpha * torch.fft.fft2(foreign).abs()
    changed: Tensor = torch.fft.ifft2(torch.polar(torch.where(mask, mixed, amplitude), phase)).real
    return changed


@dataclass(frozen=True)
class ForeignAmplitudes(WholeImage):
    """Every image with the foreign image's low-frequency amplitudes mixed in.

    Attributes:
        foreign: uint8, (C, H, W).
        alpha: its share of an amplitude, in (0, 1].
        reach: the window's half-width, in cycles across the image.
    """

    metric: ClassVar[str | None] = "amplitude"

    foreign: Tensor
    alpha: float
    reach: int

    def change(self, images: Tensor) -> Tensor:
        """``mix_amplitudes``."""
        return mix_amplitudes(images, self.foreign.double(), self.alpha, self.reach)


@component
class Frequency(TriggerAttack):
    """Mixes low-frequency amplitudes of one image of random colors into the malicious clients' images.

    The foreign image is drawn once from the run's seed. The window holds the mean, so that brightness moves with the
    foreign image; with less than 1 / ``beta`` pixels nothing but brightness does.

    Args:
        alpha: the foreign image's share of an amplitude, in (0, 1]; the paper: 0.15.
        beta: the window's half-width as a share of the image's side, in (0, 0.5); the paper: 0.1.
        cells: colors along a side of the foreign image, at least 1.
    """

    alpha: Share
    beta: Annotated[float, Interval(gt=0, lt=0.5)] = 0.1
    cells: Count = 8

    def __str__(self) -> str:
        """Such as ``foreign low frequencies (alpha 0.15, beta 0.1)``."""
        return f"foreign low frequencies (alpha {self.alpha:g}, beta {self.beta:g})"

    def trigger(self, channels: int, image_size: int, seed: int) -> ForeignAmplitudes:
        """The foreign image, of this size."""
        foreign = mosaic(channels, image_size, min(self.cells, image_size), keyed_generator(seed, "trigger"))
        return ForeignAmplitudes(foreign, self.alpha, floor(self.beta * image_size))
