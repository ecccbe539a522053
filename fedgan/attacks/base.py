"""What an attack may do to malicious clients' images. The base class does nothing: it is ``attack=none``."""

from dataclasses import dataclass

import torch

from fedgan.core.arguments import Count, NonNegative, checked
from fedgan.core.images import ImageSet
from fedgan.core.trigger import Trigger
from fedgan.core.window import Window


@dataclass(frozen=True)
class PoisonReport:
    """Proof that a malicious client's images were changed, and how.

    Attributes:
        client: the malicious client's id.
        images_changed: how many of its images differ from what they were, in at least one pixel or in their label.
        num_examples: how many images it has.
        mask_pixels: pixels that the trigger covers in one image.
        mask_share: the same as a share of the image's area, in (0, 1].
        sha256: fingerprint of the client's images after poisoning.
    """

    client: int
    images_changed: int
    num_examples: int
    mask_pixels: int
    mask_share: float
    sha256: str


@checked
class Attack:
    """No attack. Subclasses change the images that malicious clients train on; who is malicious: ``fl.malicious``.

    Args:
        start: the first round in which malicious clients train on poisoned images; see ``Window``, as for the next two.
        stop: the first round in which they do not any more; None for never.
        every: rounds from one time to the next.
    """

    window = Window()  # for subclasses that leave __init__ to themselves

    def __init__(self, *, start: NonNegative = 0, stop: Count | None = None, every: Count = 1) -> None:
        self.window = Window(start, stop, every)

    def __str__(self) -> str:
        """The attack and its settings in a few words, for the screen and the records."""
        return "no attack"

    @property
    def acts(self) -> bool:
        """Whether there is any attack."""
        return type(self).poison is not Attack.poison

    def trigger(self, channels: int, image_size: int, seed: int) -> Trigger | None:
        """What metrics look for in the synthetic images; None where nothing is pasted."""
        return None

    def poison(self, images: ImageSet, trigger: Trigger | None, rng: torch.Generator) -> ImageSet:
        """A malicious client's training images as the attacker leaves them, before training starts."""
        return images
