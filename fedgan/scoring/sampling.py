"""Synthetic images: every one can be drawn again, alone, from its class and its latent seed."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from fedgan.core.images import ImageSet, to_uint8
from fedgan.core.rng import derive_seed
from fedgan.models.base import Generator


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


@torch.no_grad()
def synthesize(generator: Generator, request: LatentBatch, batch_size: int = 64) -> Iterator[Tensor]:
    """The requested images, in batches: uint8, (B, C, H, W), on the CPU; drawn on the generator's device."""
    device = next(generator.parameters()).device
    generator.eval()
    latents = request.latents(generator.z_dim)
    for z, labels in zip(torch.split(latents, batch_size), torch.split(request.labels, batch_size), strict=True):
        yield to_uint8(generator(z.to(device), labels.to(device))).cpu()


def draw_set(generator: Generator, classes: Sequence[str], per_class: int, seed: int, batch_size: int = 64) -> ImageSet:
    """``per_class`` synthetic images of every class as a labeled set in host memory; see ``balanced_latents``."""
    request = balanced_latents(len(classes), per_class, seed)
    return ImageSet(torch.cat(list(synthesize(generator, request, batch_size))), request.labels, tuple(classes))
