"""The paper's trigger for colour images (ISIC): one fixed matrix of random colours."""

import torch
from torch import Tensor

from fedgan.attacks.trigger_attack import TriggerAttack


class RandomPatch(TriggerAttack):
    """Every pixel has a colour of its own, drawn once from the run's seed (Saha et al. 2020).

    Example:
        >>> attack = RandomPatch(size=4)
        >>> once, again = (attack.trigger(channels=3, image_size=32, seed=1).pattern for _ in range(2))
        >>> bool((once == again).all())
        True
    """

    def pattern(self, channels: int, rng: torch.Generator) -> Tensor:
        """Uniform over the byte values: uint8, (channels, size, size)."""
        return torch.randint(0, 256, (channels, self.size, self.size), dtype=torch.uint8, generator=rng)
