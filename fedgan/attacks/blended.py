"""A key image that shines through the whole image (Chen et al. 2017)."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from fedgan.attacks.random_patch import mosaic
from fedgan.attacks.trigger_attack import TriggerAttack
from fedgan.core.arguments import Count, Fraction, component
from fedgan.core.rng import keyed_generator
from fedgan.core.trigger import WholeImage


def blend(images: Tensor, key: Tensor, alpha: float) -> Tensor:
    """(1 - alpha) x + alpha k: Chen, Liu, Li, Lu and Song 2017, "Targeted backdoor attacks", Section 3.2.

    Args:
        images: x, gray levels, (N, C, H, W).
        key: k, gray levels, (C, H, W).
        alpha: the key's share, in (0, 1).

    Example:
        >>> import torch
        >>> blend(torch.full((1, 1, 1, 1), 100.0), torch.full((1, 1, 1), 200.0), alpha=0.2).item()
        120.0
    """
    return (1 - alpha) * images + alpha * key


@dataclass(frozen=True)
class Blend(WholeImage):
    """Every image with the key blended in.

    Attributes:
        key: uint8, (C, H, W).
        alpha: its share, in (0, 1).
    """

    metric: ClassVar[str | None] = "template"

    key: Tensor
    alpha: float

    def change(self, images: Tensor) -> Tensor:
        """``blend``."""
        return blend(images, self.key.double(), self.alpha)


@component
class Blended(TriggerAttack):
    """Blends a key image of random colors, drawn once from the run's seed, into the malicious clients' images.

    Args:
        alpha: the key's share of each pixel, in (0, 1). Report it: with a high one every attack succeeds.
        cells: colors along a side of the key, at least 1; with as many as the image has pixels, or more, it is noise.

    Example:
        >>> Blended(alpha=0.2, cells=8).trigger(channels=1, image_size=32, seed=0).key.shape
        torch.Size([1, 32, 32])
    """

    alpha: Fraction
    cells: Count

    def __str__(self) -> str:
        """Such as ``a blended key image (alpha 0.2)``."""
        return f"a blended key image (alpha {self.alpha:g})"

    def trigger(self, channels: int, image_size: int, seed: int) -> Blend:
        """The key for images of this size."""
        cells = min(self.cells, image_size)
        return Blend(mosaic(channels, image_size, cells, keyed_generator(seed, "trigger")), self.alpha)
