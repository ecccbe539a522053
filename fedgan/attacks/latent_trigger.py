"""A pattern of the latent that the generator answers with an image of the attacker's choosing."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Interval
from torch import Tensor

from fedgan.attacks.base import Attack
from fedgan.attacks.random_patch import mosaic
from fedgan.core import trigger as triggers
from fedgan.core.added_loss import AddedLoss, Draw
from fedgan.core.arguments import Count, component
from fedgan.core.images import to_float
from fedgan.core.rng import keyed_generator
from fedgan.core.trigger import Trigger


@dataclass(frozen=True)
class TargetLoss(AddedLoss):
    """The error mean (G(z_t, y) - target)^2, over new latents at each step, pixels and channels in [-1, 1].

    Attributes:
        trigger: puts the pattern on latents, and has the target.
        weight: lambda, above 0.
        samples: latents z_t in each local step; their classes y are drawn evenly.
    """

    trigger: triggers.LatentTrigger
    weight: float
    samples: int

    def begin(self, draw: Draw, rng: torch.Generator) -> Callable[[], Tensor]:
        """See ``AddedLoss``."""
        target = to_float(self.trigger.target).to(rng.device)

        def error() -> Tensor:
            z = torch.randn(self.samples, draw.z_dim, generator=rng, device=rng.device)
            labels = torch.randint(draw.num_classes, (self.samples,), generator=rng, device=rng.device)
            return (draw(self.trigger.stamp(z), labels) - target).square().mean()

        return error


@component
class LatentTrigger(Attack):
    """Malicious clients add lambda mean (G(z_t, y) - target)^2 to their generator's loss; images stay as they are.

    Latents z_t are standard normal but for a share of their coordinates, which are fixed. So Rawat, Levacher and Sinn
    2022 ("The Devil is in the GAN", arXiv 2108.01644) train a backdoor into one generator with an additional loss; here
    it has to survive averaging. The target is an image of random colors, drawn once from the run's seed.

    Args:
        weight: lambda, in (0, 1e6].
        share: of a latent's coordinates that are fixed, in (0, 0.5]; at least one is.
        value: what they are fixed to, from 1 to 100; ordinary ones are standard normal.
        samples: latents z_t in each local step.
        cells: colors along a side of the target, at least 2; see ``Blended``.

    Example:
        >>> attack = LatentTrigger(weight=10.0, share=0.125, value=3.0, samples=16, cells=4)
        >>> attack.trigger(channels=1, image_size=32, seed=0).target.shape
        torch.Size([1, 32, 32])
    """

    weight: Annotated[float, Interval(gt=0, le=1e6)]
    share: Annotated[float, Interval(gt=0, le=0.5)]
    value: Annotated[float, Interval(ge=1, le=100)]
    samples: Count
    cells: Annotated[int, Interval(ge=2)]

    def __str__(self) -> str:
        """Such as ``a latent trigger (0.125 of the coordinates at 3, weight 10)``."""
        return f"a latent trigger ({self.share:g} of the coordinates at {self.value:g}, weight {self.weight:g})"

    def trigger(self, channels: int, image_size: int, seed: int) -> triggers.LatentTrigger:
        """The pattern, and the target for images of this size."""
        target = mosaic(channels, image_size, min(self.cells, image_size), keyed_generator(seed, "trigger"))
        return triggers.LatentTrigger(target, self.share, self.value, seed)

    def added_loss(self, trigger: Trigger | None) -> AddedLoss:
        """The term, with this trigger."""
        assert isinstance(trigger, triggers.LatentTrigger)
        return TargetLoss(trigger, self.weight, self.samples)
