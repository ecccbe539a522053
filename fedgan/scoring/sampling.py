"""Synthetic images: every one can be drawn again, alone, from its class and its latent seed."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from fedgan.core.images import ImageSet, to_uint8
from fedgan.core.latents import LatentBatch, balanced_latents
from fedgan.models.base import Generator


@torch.no_grad()
def synthesize(generator: Generator, request: LatentBatch, batch_size: int = 64) -> Iterator[Tensor]:
    """The requested images, in batches: uint8, (B, C, H, W), on the CPU; drawn on the generator's device."""
    device = next(generator.parameters()).device
    generator.eval()
    latents = request.latents(generator.z_dim)
    for z, labels in zip(torch.split(latents, batch_size), torch.split(request.labels, batch_size), strict=True):
        yield to_uint8(generator(z.to(device), labels.to(device))).cpu()


def draw_images(generator: Generator, request: LatentBatch, batch_size: int = 64) -> Tensor:
    """The requested images at once: uint8, (N, C, H, W), on the CPU."""
    return torch.cat(list(synthesize(generator, request, batch_size)))


def draw_set(generator: Generator, classes: Sequence[str], per_class: int, seed: int, batch_size: int = 64) -> ImageSet:
    """``per_class`` synthetic images of every class as a labeled set in host memory; see ``balanced_latents``."""
    request = balanced_latents(len(classes), per_class, seed)
    return ImageSet(draw_images(generator, request, batch_size), request.labels, tuple(classes))
