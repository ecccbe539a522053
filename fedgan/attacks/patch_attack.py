"""The paper's attack (Section 4.2.1): one and the same trigger on the malicious clients' training images."""

from abc import ABC, abstractmethod
from typing import Literal, get_args

import torch
from torch import Tensor

from fedgan.attacks.trigger_attack import TriggerAttack, check_size
from fedgan.core.arguments import Count, NonNegative, component
from fedgan.core.rng import keyed_generator
from fedgan.core.trigger import Patch

Position = Literal["bottom_right", "bottom_left", "top_right", "top_left", "center"]
POSITIONS = get_args(Position)


@component
class PatchAttack(TriggerAttack, ABC):
    """Pastes a patch; what it looks like is the subclass's matter.

    Args:
        size: side of the square trigger, in pixels.
        margin: distance from the border, in pixels (the first code: 5 at 256 px); unused in the center.
        position: bottom_right, bottom_left, top_right, top_left or center.
    """

    size: Count
    margin: NonNegative = 1
    position: Position = "bottom_right"

    def __str__(self) -> str:
        """Such as ``white_square of 8 x 8 pixels at the bottom right``."""
        kind = type(self).__module__.rpartition(".")[2]
        place = "in the center" if self.position == "center" else f"at the {self.position.replace('_', ' ')}"
        return f"{kind} of {self.size} x {self.size} pixels {place}"

    @abstractmethod
    def pattern(self, channels: int, rng: torch.Generator) -> Tensor:
        """The trigger's pixels: uint8, (channels, size, size)."""

    def trigger(self, channels: int, image_size: int, seed: int) -> Patch:
        """The trigger at its place in an image of ``image_size`` pixels per side."""
        check_size(self.size, image_size, 0 if self.position == "center" else self.margin)
        near, far = self.margin, image_size - self.size - self.margin
        middle = (image_size - self.size) // 2
        vertical, _, horizontal = self.position.partition("_")
        pattern, shape = self.pattern(channels, keyed_generator(seed, "trigger")), (channels, self.size, self.size)
        if pattern.dtype != torch.uint8 or pattern.shape != shape:
            raise ValueError(f"pattern must be uint8 of shape {shape}; got {pattern.dtype} of {tuple(pattern.shape)}")
        return Patch(
            pattern,
            top={"top": near, "bottom": far}.get(vertical, middle),
            left={"left": near, "right": far}.get(horizontal, middle),
        )
