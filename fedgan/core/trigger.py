"""A trigger: what the attacker pastes and where. Known to attacks (which paste it) and metrics (which look for it)."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Trigger:
    """A patch of pixels at a fixed place of the image.

    Attributes:
        pattern: uint8, (C, h, w): the pixels; 255 is +1 in the images' [-1, 1] range.
        top: row of the patch's first pixel.
        left: column of the patch's first pixel.
    """

    pattern: Tensor
    top: int
    left: int

    @property
    def window(self) -> tuple[slice, slice]:
        """The rows and columns that the trigger covers, to index an (..., H, W) tensor with."""
        height, width = self.pattern.shape[-2:]
        return slice(self.top, self.top + height), slice(self.left, self.left + width)

    def paste(self, images: Tensor) -> Tensor:
        """A copy of ``images`` (uint8, (N, C, H, W)) with the trigger on each.

        Example:
            >>> white = Trigger(torch.full((1, 2, 2), 255, dtype=torch.uint8), top=1, left=1)
            >>> white.paste(torch.zeros(1, 1, 3, 3, dtype=torch.uint8))[0, 0].tolist()
            [[0, 0, 0], [0, 255, 255], [0, 255, 255]]
        """
        assert images.dtype == torch.uint8, images.dtype
        rows, columns = self.window
        pasted = images.clone()
        pasted[..., rows, columns] = self.pattern
        return pasted
