"""What an attack may do, and nothing more. The base class does none of it: it is ``attack=none``."""

from dataclasses import dataclass

import torch

from fedgan.core.images import ImageSet
from fedgan.core.trigger import Trigger
from fedgan.core.update import ClientUpdate


@dataclass(frozen=True)
class PoisonReport:
    """Proof that a malicious client's images were changed, and how.

    Attributes:
        client: the malicious client's id.
        images_changed: how many of its images differ from what they were in at least one pixel.
        num_examples: how many images it holds.
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


class Attack:
    """No attack. Subclasses change a malicious client's images, its update, or both.

    Example:
        >>> Attack().choose_malicious(num_clients=4, seed=0)
        frozenset()
    """

    def __str__(self) -> str:
        """The attack and its settings in a few words, for the screen and the records."""
        return "no attack"

    def choose_malicious(self, num_clients: int, seed: int) -> frozenset[int]:
        """The ids of the clients that the attacker controls: fewer than half of them (Section 3.2)."""
        return frozenset()

    def trigger(self, channels: int, image_size: int, seed: int) -> Trigger | None:
        """What metrics look for in the synthetic images; None where nothing is pasted."""
        return None

    def poison(self, images: ImageSet, trigger: Trigger | None, rng: torch.Generator) -> ImageSet:
        """A malicious client's training images as the attacker leaves them, before training starts."""
        return images

    def corrupt(self, update: ClientUpdate, rng: torch.Generator) -> ClientUpdate:
        """A malicious client's update as the attacker sends it."""
        return update
