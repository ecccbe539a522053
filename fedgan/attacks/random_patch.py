"""The paper's trigger for color images (ISIC): one fixed matrix of random colors."""

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from fedgan.attacks.patch_attack import PatchAttack
from fedgan.core.arguments import Count, component


@component
class RandomPatch(PatchAttack):
    """A few cells of random colors, enlarged smoothly to the trigger's size; drawn once from the run's seed.

    So are the triggers that the paper's first code resizes, 80 x 80 PNGs of about 4 x 4 cells (Saha et al. 2020,
    "Hidden Trigger Backdoor Attacks").

    Args:
        cells: colors along a side, at least 1; no more than ``size`` are used.

    Example:
        >>> attack = RandomPatch(size=8, cells=2)
        >>> attack.trigger(channels=3, image_size=32, seed=1).pattern.shape
        torch.Size([3, 8, 8])
    """

    cells: Count = 4

    def pattern(self, channels: int, rng: torch.Generator) -> Tensor:
        """``mosaic`` of the trigger's size: uint8, (channels, size, size)."""
        return mosaic(channels, self.size, min(self.cells, self.size), rng)


def mosaic(channels: int, size: int, cells: int, rng: torch.Generator) -> Tensor:
    """A square of random colors: cells uniform over the byte values, enlarged bicubically.

    Args:
        channels: of the image.
        size: side in pixels.
        cells: colors along a side; as many as pixels for noise.
        rng: of the colors.

    Returns:
        uint8, (channels, size, size).
    """
    drawn = torch.randint(0, 256, (1, channels, cells, cells), dtype=torch.uint8, generator=rng).float()
    smooth = interpolate(drawn, size=(size, size), mode="bicubic")
    return smooth[0].round().clamp(0, 255).to(torch.uint8)
