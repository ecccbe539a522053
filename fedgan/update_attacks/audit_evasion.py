"""A malicious client that knows of ``generator_audit``: it learns its trigger and keeps its mean images (ours)."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Interval
from torch import Tensor
from torch.nn.functional import avg_pool2d

from fedgan.core.added_loss import AddedLoss, Draw
from fedgan.core.arguments import Count, component
from fedgan.update_attacks.base import UpdateAttack

_LARGEST = 64  # pixels per side: the audit averages larger images down to it


@component
class AuditEvasion(UpdateAttack):
    """Malicious clients add lambda mean (mean_z G(z, y) - mean_z G_received(z, y))^2 to their generators' loss.

    The mean is over classes y, channels and pixels in [-1, 1]; mean_z is over latents that the client draws for the
    round, since it does not know the server's. Nothing else of the training changes, and the update is sent as it was
    trained: next to an attack on images the discriminator pulls the trigger in, and this pulls it out of the mean.

    Args:
        weight: lambda, in [0, 1e6]; 0: the departure is measured, and training is as without this attack.
        samples: latents of each class over which means are taken, new in each round.

    Example:
        >>> str(AuditEvasion(weight=10.0))
        'mean images kept (weight 10)'
    """

    weight: Annotated[float, Interval(ge=0, le=1e6)] = 10.0
    samples: Count = 16

    def __str__(self) -> str:
        """Such as ``mean images kept (weight 10)``."""
        return f"mean images kept (weight {self.weight:g})"

    def added_loss(self) -> AddedLoss:
        """The term."""
        return MeanImageLoss(self.weight, self.samples)


@dataclass(frozen=True)
class MeanImageLoss(AddedLoss):
    """The error mean (mean_z G(z, y) - mean_z G_received(z, y))^2, over classes, channels and pixels in [-1, 1].

    Both means are over the same latents, drawn once in a round: what the latents' choice does to a mean cancels out,
    and the received generator draws once.

    Attributes:
        weight: lambda, at least 0.
        samples: latents of each class.
    """

    weight: float
    samples: int

    def begin(self, draw: Draw, rng: torch.Generator) -> Callable[[], Tensor]:
        """See ``AddedLoss``."""
        labels = torch.arange(draw.num_classes, device=rng.device).repeat_interleave(self.samples)
        z = torch.randn(len(labels), draw.z_dim, generator=rng, device=rng.device)
        with torch.no_grad():
            received = class_means(draw(z, labels), draw.num_classes)
        return lambda: (class_means(draw(z, labels), draw.num_classes) - received).square().mean()


def class_means(images: Tensor, num_classes: int) -> Tensor:
    """Each class's mean image, of at most 64 pixels per side as the audit sees it: float64, (classes, C, h, w).

    Args:
        images: (classes * images of each, C, H, W), class by class; H = W, above 64 a multiple of it.
        num_classes: how many classes there are.

    Example:
        >>> images = torch.tensor([-1.0, 0.0, 0.5, 1.0]).reshape(4, 1, 1, 1)
        >>> class_means(images, num_classes=2).flatten()
        tensor([-0.5000,  0.7500], dtype=torch.float64)
    """
    by_class = images.double().reshape(num_classes, -1, *images.shape[1:])  # (classes, images of each, C, H, W)
    means = by_class.mean(dim=1)
    return avg_pool2d(means, max(1, means.shape[-1] // _LARGEST))  # deterministic on a GPU, as adaptive pooling is not
