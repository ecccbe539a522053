"""What attacks with a trigger have in common: it is on a share of a malicious client's training images."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from fedgan.attacks.base import Attack, draw_share
from fedgan.core.arguments import Share, component
from fedgan.core.checks import check
from fedgan.core.images import ImageSet
from fedgan.core.trigger import Trigger


@component
class TriggerAttack(Attack, ABC):
    """Puts a trigger on images; what it does to them is the subclass's matter.

    Args:
        poison_share: share of a malicious client's images that get the trigger, in (0, 1]; the paper: 1.
    """

    poison_share: Share = 1.0

    @abstractmethod
    def trigger(self, channels: int, image_size: int, seed: int) -> Trigger:
        """The trigger for images of ``image_size`` pixels per side; what is random in it comes from the run's seed."""

    def candidates(self, images: ImageSet) -> Tensor:
        """Indices of the images that may get the trigger, int64; all of them."""
        return torch.arange(len(images))

    def poison(self, images: ImageSet, trigger: Trigger | None, rng: torch.Generator) -> ImageSet:
        """The images with the trigger on ``poison_share`` of the candidates, drawn from ``rng``."""
        assert trigger is not None
        chosen = draw_share(self.candidates(images), self.poison_share, rng)
        poisoned = images.images.clone()
        if len(chosen):
            poisoned[chosen] = trigger.apply(images.images[chosen])
        return ImageSet(poisoned, images.labels, images.classes)


def check_size(size: int, image_size: int, margin: int = 0) -> None:
    """Refuse a patch that does not fit into the images at this distance from the border; all in pixels.

    Raises:
        ValueError: in one line.

    Example:
        >>> check_size(size=8, image_size=32, margin=30)
        Traceback (most recent call last):
        ...
        ValueError: size must be at most 2, what dataset.image_size=32 leaves next to margin=30; got 8
    """
    room, whole = image_size - margin, f"dataset.image_size={image_size}"
    most = f"{room}, what {whole} leaves next to margin={margin}" if margin else whole
    check(size <= room, "size", f"at most {most}", size)
