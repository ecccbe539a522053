"""Latents: what a generator draws images from, each given by a seed of its own."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from fedgan.core.rng import derive_seed


@dataclass(frozen=True)
class LatentBatch:
    """The images to draw: which class, which latent.

    Attributes:
        labels: int64, (N,).
        latent_seeds: one per image, 63 bits; image i is G(z_i, y_i) with z_i standard normal, drawn by
            ``numpy.random.default_rng(latent_seeds[i]).standard_normal(z_dim, dtype="float32")``, which uses all
            bits (torch's generator on the CPU takes 32 of them: two in 100,000 images would share one).
    """

    labels: Tensor
    latent_seeds: tuple[int, ...]

    def latents(self, z_dim: int) -> Tensor:
        """float32, (N, z_dim)."""
        rows = [np.random.default_rng(seed).standard_normal(z_dim, dtype=np.float32) for seed in self.latent_seeds]
        return torch.from_numpy(np.stack(rows))


def balanced_latents(num_classes: int, per_class: int, seed: int) -> LatentBatch:
    """``per_class`` images of every class, class by class; asking for more leaves the first ones as they were.

    Example:
        >>> balanced_latents(num_classes=2, per_class=3, seed=0).labels.tolist()
        [0, 0, 0, 1, 1, 1]
    """
    labels = torch.arange(num_classes).repeat_interleave(per_class)
    seeds = [derive_seed(seed, "latent", c, i) for c in range(num_classes) for i in range(per_class)]
    return LatentBatch(labels, tuple(seeds))
