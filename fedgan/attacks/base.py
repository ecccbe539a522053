"""What an attack may do to malicious clients' images. The base class does nothing: it is ``attack=none``."""

from dataclasses import dataclass

import torch
from torch import Tensor

from fedgan.core.added_loss import AddedLoss
from fedgan.core.arguments import component
from fedgan.core.images import ImageSet
from fedgan.core.trigger import Trigger
from fedgan.core.window import Windowed


@dataclass(frozen=True)
class PoisonReport:
    """Proof that a malicious client's images were changed, and how.

    Attributes:
        client: the malicious client's id.
        images_changed: how many of its images differ from what they were, in at least one pixel or in their label.
        num_examples: how many images it has.
        labels_changed: how many of them have another label.
        share_changed: of the images with other pixels, the mean share of their area that differs, in [0, 1].
        mean_change: of the same images, the mean absolute difference of all pixels and channels, in gray levels: how
            well the trigger can be seen.
        sha256: fingerprint of the client's images after poisoning.
    """

    client: int
    images_changed: int
    num_examples: int
    labels_changed: int
    share_changed: float
    mean_change: float
    sha256: str


@component
class Attack(Windowed):
    """No attack. Subclasses change the images that malicious clients train on, or what their generators learn.

    Who is malicious: ``fl.malicious``. In the rounds of its window they train on poisoned images.
    """

    def __str__(self) -> str:
        """The attack and its settings in a few words, for the screen and the records."""
        return "no attack"

    @property
    def poisons(self) -> bool:
        """Whether images are changed."""
        return type(self).poison is not Attack.poison

    @property
    def acts(self) -> bool:
        """Whether there is any attack."""
        return self.poisons or type(self).added_loss is not Attack.added_loss

    def setup(self, classes: tuple[str, ...], malicious: int) -> None:
        """Prepare for a data set and a federation, once, before any image is changed.

        Args:
            classes: the classes' names, in the order of their labels.
            malicious: how many clients are; 0 in a control.

        Raises:
            ValueError: in one line, if the attack could not act there.
        """

    def trigger(self, channels: int, image_size: int, seed: int) -> Trigger | None:
        """What metrics look for in the synthetic images; None where images stay as they are."""
        return None

    def part(self, trigger: Trigger | None, rank: int) -> Trigger | None:
        """What one of the malicious clients puts on its images: all of the trigger, unless they share it out.

        Args:
            trigger: the whole.
            rank: of the client among the malicious ones, by ascending id, counted from 0.
        """
        return trigger

    def poison(self, images: ImageSet, trigger: Trigger | None, rng: torch.Generator) -> ImageSet:
        """A malicious client's training images as the attacker leaves them, before training starts."""
        return images

    def added_loss(self, trigger: Trigger | None) -> AddedLoss | None:
        """What malicious clients' generators learn besides, in the rounds of the window; nothing by default."""
        return None


def draw_share(candidates: Tensor, share: float, rng: torch.Generator) -> Tensor:
    """A share of the candidates, drawn at random: at least one, if there is any.

    Args:
        candidates: indices, int64, (M,).
        share: in (0, 1].
        rng: of the draw.

    Example:
        >>> len(draw_share(torch.arange(10), 0.34, torch.Generator()))
        3
    """
    count = max(1, round(share * len(candidates)))
    return candidates[torch.randperm(len(candidates), generator=rng)[:count]]
