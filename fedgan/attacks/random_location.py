"""The same patch at another place of every image."""

from typing import Literal

from fedgan.attacks.looks import draw_look
from fedgan.attacks.trigger_attack import TriggerAttack, check_size
from fedgan.core.arguments import Count, component
from fedgan.core.rng import derive_seed, keyed_generator
from fedgan.core.trigger import WanderingPatch


@component
class RandomLocation(TriggerAttack):
    """Pastes one patch, drawn once from the run's seed, at a place drawn for each image.

    A square of one color cannot be told from any bright spot once its place is open; so the patch has a pattern.

    Args:
        size: side of the square patch, in pixels.
        look: random_patch or noise_patch.
    """

    size: Count
    look: Literal["random_patch", "noise_patch"] = "random_patch"

    def __str__(self) -> str:
        """Such as ``random_patch of 8 x 8 pixels anywhere``."""
        return f"{self.look} of {self.size} x {self.size} pixels anywhere"

    def trigger(self, channels: int, image_size: int, seed: int) -> WanderingPatch:
        """The patch, for images of this size."""
        check_size(self.size, image_size)
        pattern = draw_look(self.look, self.size, channels, keyed_generator(seed, "trigger"))
        return WanderingPatch(pattern, derive_seed(seed, "trigger", "places"))
