"""What a patch may look like, for attacks that say where, by whom or on which images it is pasted."""

from typing import Literal

import torch
from torch import Tensor

from fedgan.attacks.noise_patch import NoisePatch
from fedgan.attacks.patch_attack import PatchAttack
from fedgan.attacks.random_patch import RandomPatch
from fedgan.attacks.white_square import WhiteSquare

Look = Literal["white_square", "random_patch", "noise_patch"]
_KINDS: dict[str, type[PatchAttack]] = {
    "white_square": WhiteSquare,
    "random_patch": RandomPatch,
    "noise_patch": NoisePatch,
}


def draw_look(look: Look, size: int, channels: int, rng: torch.Generator) -> Tensor:
    """The pixels of that attack's trigger with its default settings: uint8, (channels, size, size).

    Example:
        >>> draw_look("white_square", size=1, channels=3, rng=torch.Generator()).flatten().tolist()
        [255, 255, 255]
    """
    return _KINDS[look](size=size).pattern(channels, rng)
