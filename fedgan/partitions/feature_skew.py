"""Clients whose images look different, as from different scanners, while their classes are the same."""

from dataclasses import replace
from typing import Annotated

import torch
from annotated_types import Interval
from torch import Tensor

from fedgan.core.arguments import component
from fedgan.core.checks import check
from fedgan.core.images import ImageSet
from fedgan.partitions.iid import IID

HalfRange = Annotated[float, Interval(ge=0, lt=1)]
GrayLevels = Annotated[float, Interval(ge=0, le=255)]


@component
class FeatureSkew(IID):
    """Random parts of equal size; then each client's images are changed, every round in the same way.

    Nobody attacks here, and still one client's images stand out: what a detector flags without an attack. The
    clients' settings are evenly spaced by their ids, from the first client's to the last one's.

    Args:
        gain: half the range of the clients' gains, in [0, 1): pixels are multiplied by 1 - gain for the first client
            to 1 + gain for the last.
        contrast: half the range of the clients' contrasts, in [0, 1): likewise, about each image's mean.
        noise: standard deviation of Gaussian noise in gray levels of 255, in [0, 255]: noise (i + 1) / N for client
            i of N (Li et al. 2022, arXiv 2102.02079, "noise-based feature imbalance").

    Raises:
        ValueError: for an argument out of range, or if all are 0.
    """

    gain: HalfRange = 0.2
    contrast: HalfRange = 0.0
    noise: GrayLevels = 0.0

    def __post_init__(self) -> None:
        skewed = self.gain + self.contrast + self.noise > 0
        check(skewed, "gain", "above 0 where contrast and noise are 0", self.gain)

    def change(self, images: ImageSet, client_id: int, num_clients: int, rng: torch.Generator) -> ImageSet:
        """See ``Partition``."""
        gain, contrast = (spread(half, client_id, num_clients) for half in (self.gain, self.contrast))
        noise = self.noise * (client_id + 1) / num_clients
        return replace(images, images=rescanned(images.images, gain, contrast, noise, rng))


def rescanned(images: Tensor, gain: float, contrast: float, noise: float, rng: torch.Generator) -> Tensor:
    """uint8 images, (N, C, H, W), with another gain, contrast and noise; rounded, and clipped to [0, 255].

    Args:
        images: uint8, (N, C, H, W).
        gain: factor of all pixels.
        contrast: factor of the differences from each image's mean, after the gain.
        noise: standard deviation of what is added to each value, in gray levels.
        rng: of the noise; nothing is drawn without any.

    Example:
        >>> pixels = torch.tensor([100, 200], dtype=torch.uint8).view(1, 1, 1, 2)
        >>> rescanned(pixels, 0.8, 1.0, 0.0, torch.Generator()).flatten().tolist()
        [80, 160]
        >>> rescanned(pixels, 1.0, 1.2, 0.0, torch.Generator()).flatten().tolist()  # about 150
        [90, 210]
    """
    values = images.float() * gain
    mean = values.mean(dim=(1, 2, 3), keepdim=True)
    values = mean + contrast * (values - mean)
    if noise:
        values += noise * torch.randn(values.shape, generator=rng)
    return values.round_().clamp_(0, 255).to(torch.uint8)


def spread(half: float, client_id: int, num_clients: int) -> float:
    """A client's factor: evenly spaced by id from 1 - half to 1 + half.

    Example:
        >>> [round(spread(0.2, i, 3), 2) for i in range(3)], spread(0.2, 0, 1)
        ([0.8, 1.0, 1.2], 1.0)
    """
    return 1.0 if num_clients == 1 else 1.0 - half + 2.0 * half * client_id / (num_clients - 1)
