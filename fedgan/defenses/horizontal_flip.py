"""Data augmentation against triggers (Section 4.3.1): random horizontal flips."""

import torch
from torch import Tensor

from fedgan.core.arguments import Share, component
from fedgan.defenses.base import Defense


@component
class HorizontalFlip(Defense):
    """Each real image that a client trains on is mirrored or not, anew at every step; the stored data are not.

    Args:
        probability: of being mirrored, in (0, 1].
    """

    probability: Share = 0.5

    def transform_batch(self, images: Tensor, rng: torch.Generator) -> Tensor:
        """Mirror some of the images, each by itself."""
        draws = torch.rand(len(images), 1, 1, 1, generator=rng, device=images.device)
        return torch.where(draws < self.probability, images.flip(-1), images)
