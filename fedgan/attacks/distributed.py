"""A trigger in parts, of which each malicious client pastes one: DBA (Xie, Huang, Chen and Li 2020)."""

from typing import Annotated

import torch
from annotated_types import Interval
from torch import Tensor

from fedgan.attacks.looks import Look, draw_look
from fedgan.attacks.patch_attack import PatchAttack
from fedgan.core.arguments import component
from fedgan.core.checks import check
from fedgan.core.trigger import DividedPatch, Trigger


@component
class Distributed(PatchAttack):
    """Cuts a patch into disjoint parts; nobody pastes the whole, which metrics look for.

    A malicious client's part goes by its rank among the malicious ids: whoever they are, all parts are pasted.

    Args:
        parts: of the patch, from 2 to 4, no more than malicious clients nor than ``size``; the paper: 4.
        look: white_square, random_patch or noise_patch.

    Example:
        >>> attack = Distributed(size=8, parts=2)
        >>> attack.part(attack.trigger(channels=1, image_size=32, seed=0), rank=1).pattern.shape
        torch.Size([1, 8, 4])
    """

    parts: Annotated[int, Interval(ge=2, le=4)]
    look: Look = "white_square"

    def __post_init__(self) -> None:
        super().__post_init__()
        check(self.size >= self.parts, "size", f"at least parts={self.parts}", self.size)

    def __str__(self) -> str:
        """Such as ``distributed of 8 x 8 pixels at the bottom right in 2 parts``."""
        return f"{super().__str__()} in {self.parts} parts"

    def setup(self, classes: tuple[str, ...], malicious: int) -> None:
        """Refuse fewer malicious clients than parts: one alone would paste a smaller patch, and nothing distributed."""
        allowed = f"at least attack.parts={self.parts} clients, or 0 for the control"
        check(not 0 < malicious < self.parts, "fl.malicious", allowed, malicious)

    def pattern(self, channels: int, rng: torch.Generator) -> Tensor:
        """The whole patch: uint8, (channels, size, size)."""
        return draw_look(self.look, self.size, channels, rng)

    def trigger(self, channels: int, image_size: int, seed: int) -> DividedPatch:
        """The whole at its place."""
        whole = super().trigger(channels, image_size, seed)
        return DividedPatch(whole.pattern, whole.top, whole.left, self.parts)

    def part(self, trigger: Trigger | None, rank: int) -> Trigger:
        """The part of the client with this rank; with more clients than parts, they begin anew."""
        assert isinstance(trigger, DividedPatch)
        return trigger.parts[rank % self.parts]
