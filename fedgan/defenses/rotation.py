"""Data augmentation against triggers (Section 4.3.1): random rotations."""

import math
from typing import Annotated

import torch
from annotated_types import Interval
from torch import Tensor
from torch.nn import functional as F

from fedgan.core.arguments import component
from fedgan.defenses.base import Defense


@component
class Rotation(Defense):
    """Each real image that a client trains on is turned by its own angle, drawn anew at every step.

    Args:
        degrees: angles are uniform in (-degrees, degrees); in (0, 180] (the paper: 90).
    """

    degrees: Annotated[float, Interval(gt=0, le=180)] = 90.0

    def transform_batch(self, images: Tensor, rng: torch.Generator) -> Tensor:
        """Turn each image about its center."""
        draws = torch.rand(len(images), generator=rng, device=images.device)
        return rotate(images, (2.0 * draws - 1.0) * math.radians(self.degrees))


def rotate(images: Tensor, angles: Tensor) -> Tensor:
    """Turn images counter-clockwise about their centers, bilinearly; what comes in from outside is black.

    Args:
        images: in [-1, 1], (B, C, H, W), square.
        angles: radians, (B,).

    Example:
        >>> image = torch.tensor([[-1.0, 1.0], [-1.0, -1.0]]).view(1, 1, 2, 2)  # white at the top right
        >>> rotate(image, torch.tensor([math.pi / 2])).round()  # and now at the top left
        tensor([[[[ 1., -1.],
                  [-1., -1.]]]])
    """
    cos, sin, zero = angles.cos(), angles.sin(), torch.zeros_like(angles)
    # Where each pixel of the result is looked up; y points down.
    rows = torch.stack([cos, -sin, zero, sin, cos, zero], dim=1).view(-1, 2, 3)
    places = F.affine_grid(rows, list(images.shape), align_corners=False)
    # Outside, grid_sample finds 0: with 1 added before and taken off afterwards that is black, not mid-gray.
    return F.grid_sample(images + 1.0, places, align_corners=False) - 1.0
