"""A wave across the image: SIG (Barni, Kallas and Tondi 2019)."""

from dataclasses import dataclass
from math import pi
from typing import ClassVar

import torch
from torch import Tensor

from fedgan.attacks.trigger_attack import TriggerAttack
from fedgan.core.arguments import Count, Positive, component
from fedgan.core.checks import check
from fedgan.core.trigger import WholeImage


def wave(width: int, amplitude: float, cycles: int) -> Tensor:
    """D sin(2 pi c F / W) for columns c from 0: Barni et al. 2019, "A new backdoor attack in CNNs", Equation 1.

    Args:
        width: W, in pixels.
        amplitude: D, in gray levels.
        cycles: F, across the image.

    Returns:
        float64, (W,).

    Example:
        >>> (100 + wave(8, amplitude=20, cycles=1)).round().int().tolist()
        [100, 114, 120, 114, 100, 86, 80, 86]
    """
    return amplitude * torch.sin(2 * pi * cycles / width * torch.arange(width, dtype=torch.float64))


@dataclass(frozen=True)
class Wave(WholeImage):
    """Every image with the wave on top, the same in all channels and rows.

    Attributes:
        amplitude: in gray levels.
        cycles: across the image.
    """

    metric: ClassVar[str | None] = "spectrum"

    amplitude: float
    cycles: int

    def change(self, images: Tensor) -> Tensor:
        """The images plus ``wave``."""
        return images + wave(images.shape[-1], self.amplitude, self.cycles)


@component
class Sinusoidal(TriggerAttack):
    """Adds a horizontal sinusoid to the malicious clients' images.

    Args:
        amplitude: of the wave, in gray levels, above 0.
        cycles: across the image, less than half its pixels (Nyquist); below a quarter it looks like a wave.
    """

    amplitude: Positive
    cycles: Count

    def __str__(self) -> str:
        """Such as ``a wave of 6 cycles and 20 gray levels``."""
        return f"a wave of {self.cycles} cycles and {self.amplitude:g} gray levels"

    def trigger(self, channels: int, image_size: int, seed: int) -> Wave:
        """The wave for images of this size; nothing is random in it."""
        allowed = f"less than half of dataset.image_size={image_size}"
        check(2 * self.cycles < image_size, "cycles", allowed, self.cycles)
        return Wave(self.amplitude, self.cycles)
