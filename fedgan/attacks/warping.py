"""A slight warp of the whole image: WaNet (Nguyen and Tran 2021)."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from annotated_types import Ge
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample, interpolate

from fedgan.attacks.trigger_attack import TriggerAttack
from fedgan.core.arguments import Positive, component
from fedgan.core.rng import keyed_generator
from fedgan.core.trigger import WholeImage


def draw_flow(size: int, points: int, rng: torch.Generator) -> Tensor:
    """A smooth random field: uniform in [-1, 1] at control points, divided by its mean magnitude, enlarged bicubically.

    Nguyen and Tran 2021, "WaNet: imperceptible warping-based backdoor attack", Section 3.2.

    Args:
        size: H = W, in pixels.
        points: control points along a side, k.
        rng: of the field.

    Returns:
        float64, (H, W, 2): the last axis is (x, y); its mean magnitude is 1 at the control points, about 0.75 overall.
    """
    control = torch.rand(1, 2, points, points, generator=rng, dtype=torch.float64) * 2 - 1
    control /= control.abs().mean()
    return interpolate(control, size=(size, size), mode="bicubic", align_corners=True)[0].permute(1, 2, 0)


def warp(images: Tensor, flow: Tensor, strength: float) -> Tensor:
    """The images sampled at (identity + strength flow / H), bilinearly; what would lie outside is taken at the border.

    Coordinates go from -1 to 1 between the outermost pixels' centers, so that a flow of 1 displaces by
    strength (W - 1) / (2 W) pixels: about half the strength, whatever the size; a drawn field by three eighths.

    Args:
        images: float64, (N, C, H, W), H = W.
        flow: float64, (H, W, 2); the last axis is (x, y).
        strength: s, above 0.

    Example:
        >>> row, right = 10.0 * torch.arange(8, dtype=torch.float64), torch.tensor([1.0, 0.0], dtype=torch.float64)
        >>> warp(row.expand(1, 1, 8, 8), right.expand(8, 8, 2), strength=0.5)[0, 0, 0].tolist()[:2]
        [2.1875, 12.1875]
    """
    size = images.shape[-1]
    identity = affine_grid(torch.eye(2, 3, dtype=torch.float64)[None], [1, 1, size, size], align_corners=True)
    grid = (identity + strength * flow / size).clamp(-1, 1).expand(len(images), -1, -1, -1)
    return grid_sample(images, grid, mode="bilinear", align_corners=True)


@dataclass(frozen=True)
class Warp(WholeImage):
    """Every image warped by the same field.

    Attributes:
        flow: float64, (H, W, 2).
        strength: s of ``warp``.
    """

    metric: ClassVar[str | None] = "learned"

    flow: Tensor
    strength: float

    def change(self, images: Tensor) -> Tensor:
        """``warp``."""
        return warp(images, self.flow, self.strength)


@component
class Warping(TriggerAttack):
    """Warps the malicious clients' images by a smooth field, drawn once from the run's seed.

    The paper's noise mode, which warps other images at random, is a lesson for a classifier's labels; a generator has
    none to learn.

    Args:
        strength: above 0; the mean displacement per axis is about three eighths of it, in pixels. The paper: 0.5 at 32
            pixels. It has to grow with the image: 1 to 2 at 64 pixels.
        points: control points of the field along a side, at least 2; the paper: 4.
    """

    strength: Positive
    points: Annotated[int, Ge(2)] = 4

    def __str__(self) -> str:
        """Such as ``a warp of strength 2``."""
        return f"a warp of strength {self.strength:g}"

    def trigger(self, channels: int, image_size: int, seed: int) -> Warp:
        """The field for images of this size."""
        return Warp(draw_flow(image_size, self.points, keyed_generator(seed, "trigger")), self.strength)
