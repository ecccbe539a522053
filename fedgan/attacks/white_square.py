"""The paper's trigger for gray images (ChestX): a white square."""

import torch
from torch import Tensor

from fedgan.attacks.patch_attack import PatchAttack


class WhiteSquare(PatchAttack):
    """White is 255, which is +1 in the images' [-1, 1] range (the first code pasted [0, 1] on it: a bug).

    Example:
        >>> WhiteSquare(size=2).trigger(channels=1, image_size=8, seed=0).pattern.tolist()
        [[[255, 255], [255, 255]]]
    """

    def pattern(self, channels: int, rng: torch.Generator) -> Tensor:
        """All white: uint8, (channels, size, size)."""
        return torch.full((channels, self.size, self.size), 255, dtype=torch.uint8)
