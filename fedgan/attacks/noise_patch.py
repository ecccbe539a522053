"""A mosaic of single pixels: noise, each pixel of another random color. Not the paper's trigger (``random_patch``)."""

import torch
from torch import Tensor

from fedgan.attacks.patch_attack import PatchAttack


class NoisePatch(PatchAttack):
    """Every pixel has its own color, drawn once from the run's seed.

    A generator paints such a patch with a fraction of its contrast, so this attack is weaker than ``random_patch``.

    Example:
        >>> attack = NoisePatch(size=4)
        >>> once, again = (attack.trigger(channels=3, image_size=32, seed=1).pattern for _ in range(2))
        >>> bool((once == again).all())
        True
    """

    def pattern(self, channels: int, rng: torch.Generator) -> Tensor:
        """Uniform over the byte values: uint8, (channels, size, size)."""
        return torch.randint(0, 256, (channels, self.size, self.size), dtype=torch.uint8, generator=rng)
