"""Data augmentation against triggers (Section 4.3.1): random horizontal flips."""

import torch
from torch import Tensor

from fedgan.core.checks import check_number
from fedgan.defenses.base import Defense


class HorizontalFlip(Defense):
    """Each real image that a client trains on is mirrored or not, anew at every step; the stored data are not.

    Args:
        probability: of being mirrored, in (0, 1].
    """

    def __init__(self, *, probability: float = 0.5) -> None:
        check_number("defense.horizontal_flip.probability", probability, low=0.0, high=1.0, low_allowed=False)
        self.probability = probability

    def transform_batch(self, images: Tensor, rng: torch.Generator) -> Tensor:
        """Mirror some of the images, each by itself."""
        draws = torch.rand(len(images), 1, 1, 1, generator=rng, device=images.device)
        return torch.where(draws < self.probability, images.flip(-1), images)
