"""Triggers: what the attacker does to an image. Known to attacks (which apply it) and metrics (which look for it)."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from itertools import pairwise, product
from typing import ClassVar

import torch
from torch import Tensor

from fedgan.core.images import digests
from fedgan.core.rng import derive_seed, keyed_generator

_CHUNK = 256  # images changed at once: a data set in float64 takes eight times the memory that it has as bytes


class Trigger(ABC):
    """What the attacker does to an image; a function of the image alone, whatever others stand next to it.

    Attributes:
        metric: the option of ``metrics=`` that looks for it; None where there is none of its own.
    """

    metric: ClassVar[str | None] = None

    @abstractmethod
    def apply(self, images: Tensor) -> Tensor:
        """A copy of ``images`` (uint8, (N, C, H, W)) with the trigger on each: uint8, (N, C, H, W)."""


@dataclass(frozen=True)
class Patch(Trigger):
    """A patch of pixels at a fixed place of the image.

    Attributes:
        pattern: uint8, (C, h, w): the pixels; 255 is +1 in the images' [-1, 1] range.
        top: row of the patch's first pixel.
        left: column of the patch's first pixel.
    """

    metric: ClassVar[str | None] = "emission"

    pattern: Tensor
    top: int
    left: int

    @property
    def window(self) -> tuple[slice, slice]:
        """The rows and columns that the trigger covers, to index an (..., H, W) tensor with."""
        height, width = self.pattern.shape[-2:]
        return slice(self.top, self.top + height), slice(self.left, self.left + width)

    def apply(self, images: Tensor) -> Tensor:
        """A copy of ``images`` (uint8, (N, C, H, W)) with the patch pasted on each.

        Example:
            >>> white = Patch(torch.full((1, 2, 2), 255, dtype=torch.uint8), top=1, left=1)
            >>> white.apply(torch.zeros(1, 1, 3, 3, dtype=torch.uint8))[0, 0].tolist()
            [[0, 0, 0], [0, 255, 255], [0, 255, 255]]
        """
        assert images.dtype == torch.uint8, images.dtype
        rows, columns = self.window
        pasted = images.clone()
        pasted[..., rows, columns] = self.pattern
        return pasted


@dataclass(frozen=True)
class DividedPatch(Patch):
    """A patch that several clients paste a part of each; applied, it is the whole.

    Attributes:
        count: of the parts, at least 2: next to each other, or in two rows where the number is even and above 2.
    """

    metric: ClassVar[str | None] = "each_part"

    count: int

    @property
    def parts(self) -> tuple[Patch, ...]:
        """The parts, row by row: disjoint, together the whole.

        Example:
            >>> white = torch.full((1, 8, 8), 255, dtype=torch.uint8)
            >>> [(part.top, part.left) for part in DividedPatch(white, top=0, left=0, count=4).parts]
            [(0, 0), (0, 4), (4, 0), (4, 4)]
        """
        down = 2 if self.count > 2 and self.count % 2 == 0 else 1
        rows, columns = self.pattern.shape[-2:]
        blocks = product(_cuts(rows, down), _cuts(columns, self.count // down))
        return tuple(
            Patch(self.pattern[:, top:bottom, left:right], self.top + top, self.left + left)
            for (top, bottom), (left, right) in blocks
        )


def _cuts(length: int, pieces: int) -> list[tuple[int, int]]:
    """Where the pieces of a length begin and end; they differ by one at most."""
    ends = [round(i * length / pieces) for i in range(pieces + 1)]
    return list(pairwise(ends))


@dataclass(frozen=True)
class WanderingPatch(Trigger):
    """A patch at a place of its own in each image, drawn evenly from all where it fits.

    The place depends on the seed and on the image's own pixels: the same image has the same place wherever it stands,
    and no other image moves it.

    Attributes:
        pattern: uint8, (C, h, w).
        seed: of the places.
    """

    metric: ClassVar[str | None] = "anywhere"

    pattern: Tensor
    seed: int

    def places(self, images: Tensor) -> list[tuple[int, int]]:
        """The row and column of the patch's first pixel in each image: uint8, (N, C, H, W)."""
        height, width = self.pattern.shape[-2:]
        down, across = images.shape[-2] - height + 1, images.shape[-1] - width + 1
        drawn = [derive_seed(self.seed, "place", digest.hex()) for digest in digests(images)]
        return [divmod(each % (down * across), across) for each in drawn]

    def apply(self, images: Tensor) -> Tensor:
        """A copy of ``images`` (uint8, (N, C, H, W)) with the patch on each."""
        pasted = images.clone()
        height, width = self.pattern.shape[-2:]
        for image, (top, left) in zip(pasted, self.places(images), strict=True):
            image[:, top : top + height, left : left + width] = self.pattern
        return pasted


class WholeImage(Trigger):
    """A change of the whole image, computed in gray levels: float64, in [0, 255] after rounding half to even."""

    @abstractmethod
    def change(self, images: Tensor) -> Tensor:
        """The images with the trigger: float64 (N, C, H, W) in [0, 255] to float64 (N, C, H, W), unbounded."""

    def apply(self, images: Tensor) -> Tensor:
        """A copy of ``images`` (uint8, (N, C, H, W)) with the trigger on each."""
        assert images.dtype == torch.uint8, images.dtype
        chunks = [self.change(chunk.double()).round_().clamp_(0, 255) for chunk in torch.split(images, _CHUNK)]
        return torch.cat([chunk.to(torch.uint8) for chunk in chunks])


@dataclass(frozen=True)
class LatentTrigger(Trigger):
    """A pattern of the latent, which the attacker's generator answers with one image, whatever the class.

    No image bears it: an attacker who can choose latents gets the target, everybody else the usual images.

    Attributes:
        target: uint8, (C, H, W): the image.
        share: of the latent's coordinates, in (0, 0.5], that are fixed; at least one is.
        value: what they are fixed to.
        seed: of the choice of coordinates.
    """

    metric: ClassVar[str | None] = "latent"

    target: Tensor
    share: float
    value: float
    seed: int

    def stamp(self, z: Tensor, *, elsewhere: bool = False) -> Tensor:
        """A copy of the latents, (B, z_dim), with the pattern on each.

        Args:
            z: the latents.
            elsewhere: fix as many other coordinates instead: as strange a latent, which does not bear the pattern.

        Example:
            >>> trigger = LatentTrigger(torch.zeros(1, 4, 4), share=0.5, value=3.0, seed=1)
            >>> trigger.stamp(torch.zeros(1, 4)), trigger.stamp(torch.zeros(1, 4), elsewhere=True)
            (tensor([[3., 0., 0., 3.]]), tensor([[0., 3., 3., 0.]]))
        """
        z_dim = z.shape[1]
        order = torch.randperm(z_dim, generator=keyed_generator(self.seed, "trigger", "latent")).to(z.device)
        count = max(1, min(round(self.share * z_dim), z_dim // 2))  # as many must be left for elsewhere
        stamped = z.clone()
        stamped[:, order[-count:] if elsewhere else order[:count]] = self.value
        return stamped

    def apply(self, images: Tensor) -> Tensor:
        """The target in place of each image: uint8, (N, C, H, W)."""
        return self.target.to(images.device).expand_as(images).clone()
