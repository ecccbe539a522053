"""Synthetic images: every one can be drawn again, alone, from its class and its latent seed."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from fedgan.data import to_uint8
from fedgan.models.base import Generator
from fedgan.rng import derive_seed


@dataclass(frozen=True)
class Request:
    """The images to draw: which class, which latent.

    Attributes:
        labels: int64, (N,).
        latent_seeds: one per image; image i is G(z_i, y_i) with z_i standard normal, drawn on the CPU by
            ``torch.Generator().manual_seed(latent_seeds[i])``.
    """

    labels: Tensor
    latent_seeds: tuple[int, ...]

    def latents(self, z_dim: int) -> Tensor:
        """float32, (N, z_dim)."""
        rng = torch.Generator()
        rows = [torch.randn(z_dim, generator=rng.manual_seed(seed)) for seed in self.latent_seeds]
        return torch.stack(rows)


def balanced_request(num_classes: int, per_class: int, seed: int) -> Request:
    """``per_class`` images of every class, class by class; asking for more leaves the first ones as they were.

    Example:
        >>> balanced_request(num_classes=2, per_class=3, seed=0).labels.tolist()
        [0, 0, 0, 1, 1, 1]
    """
    labels = torch.arange(num_classes).repeat_interleave(per_class)
    seeds = [derive_seed(seed, "latent", c, i) for c in range(num_classes) for i in range(per_class)]
    return Request(labels, tuple(seeds))


@torch.no_grad()
def synthesize(generator: Generator, request: Request, batch_size: int = 64) -> Iterator[Tensor]:
    """The images asked for, in batches: uint8, (B, C, H, W), on the CPU; drawn on the generator's device."""
    device = next(generator.parameters()).device
    generator.eval()
    latents = request.latents(generator.z_dim)
    for z, labels in zip(torch.split(latents, batch_size), torch.split(request.labels, batch_size), strict=True):
        yield to_uint8(generator(z.to(device), labels.to(device))).cpu()
