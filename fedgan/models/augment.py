"""Differentiable augmentation of everything that D sees (DiffAugment, Zhao et al. 2020).

With a few hundred images per client D soon knows them by heart and G's gradient is noise; augmenting real and
synthetic images alike, and letting the gradient through, keeps D honest without teaching G the augmentation.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


def jitter_color(images: Tensor, generator: torch.Generator) -> Tensor:
    """Each image (B, C, H, W) darkened or brightened by up to 0.5, its contrast scaled by 0.5 to 1.5."""
    shift, gain = torch.rand(2, len(images), 1, 1, 1, device=images.device, generator=generator)
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    jittered: Tensor = (images - mean) * (gain + 0.5) + mean + (shift - 0.5)
    return jittered


def translate(images: Tensor, generator: torch.Generator, ratio: float = 0.125) -> Tensor:
    """Each image (B, C, H, W) moved by up to ``ratio`` of its side, mid-grey moving in.

    Example:
        >>> translate(torch.ones(1, 1, 8, 8), torch.Generator().manual_seed(0)).shape
        torch.Size([1, 1, 8, 8])
    """
    batch, _, height, width = images.shape
    reach = int(height * ratio)
    offset = torch.randint(0, 2 * reach + 1, (2, batch, 1), device=images.device, generator=generator)
    padded = F.pad(images, (reach, reach, reach, reach))
    rows = offset[0] + torch.arange(height, device=images.device)  # (B, H)
    columns = offset[1] + torch.arange(width, device=images.device)  # (B, W)
    index = torch.arange(batch, device=images.device)[:, None, None]
    moved = padded.permute(0, 2, 3, 1)[index, rows[:, :, None], columns[:, None, :]]  # (B, H, W, C)
    return moved.permute(0, 3, 1, 2)


def cut_out(images: Tensor, generator: torch.Generator, ratio: float = 0.5) -> Tensor:
    """A square of ``ratio`` of each image's side (B, C, H, W) set to mid-grey, centred anywhere inside."""
    batch, _, height, width = images.shape
    centre = torch.rand(2, batch, 1, device=images.device, generator=generator)
    rows = torch.arange(height, device=images.device) - (centre[0] * height).floor()  # (B, H)
    columns = torch.arange(width, device=images.device) - (centre[1] * width).floor()  # (B, W)
    hidden = (rows.abs() < height * ratio / 2)[:, :, None] & (columns.abs() < width * ratio / 2)[:, None, :]
    return images.masked_fill(hidden[:, None], 0.0)


_TRANSFORMS = {"color": jitter_color, "translation": translate, "cutout": cut_out}


class DiffAugment:
    """Random transforms of a batch, drawn from a given generator and differentiable in the images.

    Args:
        policy: which of color, translation and cutout, in the order of application; none by default.

    Raises:
        ValueError: for an unknown transform.

    Example:
        >>> augment = DiffAugment(policy=["translation", "cutout"])
        >>> images = torch.ones(2, 1, 32, 32)
        >>> seeded = [augment(images, torch.Generator().manual_seed(0)) for _ in range(2)]
        >>> bool((seeded[0] == seeded[1]).all()), bool((seeded[0] == images).all())
        (True, False)
    """

    def __init__(self, *, policy: Sequence[str] = ()) -> None:
        for name in policy:
            if name not in _TRANSFORMS:
                raise ValueError(f"augment.policy must name color, translation or cutout; got {name}")
        self.policy = tuple(policy)

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Transformed ``images``, (B, C, H, W); ``generator`` lives on their device."""
        for name in self.policy:
            images = _TRANSFORMS[name](images, generator)
        return images
