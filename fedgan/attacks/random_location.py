"""The same patch at another place of every image."""

from typing import Literal

from fedgan.attacks.looks import draw_look
from fedgan.attacks.trigger_attack import TriggerAttack, check_size
from fedgan.core.arguments import Count, NonNegative, Share, checked
from fedgan.core.rng import derive_seed, keyed_generator
from fedgan.core.trigger import WanderingPatch


@checked
class RandomLocation(TriggerAttack):
    """Pastes one patch, drawn once from the run's seed, at a place drawn for each image.

    A square of one color cannot be told from any bright spot once its place is open; so the patch has a pattern.

    Args:
        size: side of the square patch, in pixels.
        look: random_patch or noise_patch.
        poison_share: see ``TriggerAttack``, as the next three.
        start: see there.
        stop: see there.
        every: see there.
    """

    def __init__(
        self,
        *,
        size: Count,
        look: Literal["random_patch", "noise_patch"] = "random_patch",
        poison_share: Share = 1.0,
        start: NonNegative = 0,
        stop: Count | None = None,
        every: Count = 1,
    ) -> None:
        super().__init__(poison_share=poison_share, start=start, stop=stop, every=every)
        self.size, self.look = size, look

    def __str__(self) -> str:
        """Such as ``random_patch of 8 x 8 pixels anywhere``."""
        return f"{self.look} of {self.size} x {self.size} pixels anywhere"

    def trigger(self, channels: int, image_size: int, seed: int) -> WanderingPatch:
        """The patch, for images of this size."""
        check_size(self.size, image_size)
        pattern = draw_look(self.look, self.size, channels, keyed_generator(seed, "trigger"))
        return WanderingPatch(pattern, derive_seed(seed, "trigger", "places"))
