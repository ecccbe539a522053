"""What the phantoms share: a canvas in unit coordinates, one random stream per image, the loop over both."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import lru_cache
from typing import Annotated, Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
from annotated_types import Ge

from fedgan.core.arguments import Count, Seed, checked
from fedgan.core.images import ImageSet, Splits
from fedgan.core.rng import derive_seed

Array = npt.NDArray[np.floating[Any]]  # float32 throughout: twice as fast, and the results are bytes

SceneSize = Annotated[int, Ge(16)]  # px; below, the scenes cannot be drawn
_PIXELS_AT_ONCE = 2**16  # images drawn together: few enough that the planes stay in the processor's cache


class Draws:
    """Random numbers for n images, each image from its own stream: none depends on how many others are drawn.

    Args:
        seeds: one seed per image.

    Example:
        >>> alone, together = Draws([5]), Draws([4, 5, 6])
        >>> bool(alone.uniform(0, 1)[0] == together.uniform(0, 1)[1])
        True
    """

    def __init__(self, seeds: Sequence[int]) -> None:
        self._streams = [np.random.default_rng(seed) for seed in seeds]

    def uniform(self, low: float, high: float) -> Array:
        """One number in [low, high) per image: (n, 1, 1), to be broadcast over rows and columns."""
        values = np.array([stream.random() for stream in self._streams], dtype=np.float32)
        return low + (high - low) * values[:, None, None]

    def chance(self, probability: float) -> Array:
        """1 with the given probability, else 0: (n, 1, 1)."""
        return (self.uniform(0, 1) < probability).astype(np.float32)

    def normal(self, height: int, width: int) -> Array:
        """Standard normal numbers: (n, height, width)."""
        shape = (height, width)
        return np.stack([stream.standard_normal(shape, dtype=np.float32) for stream in self._streams])


class Canvas:
    """A square image's pixel centers in unit coordinates, and anti-aliased drawing on them.

    Attributes:
        x: columns' centers in (-1, 1), left to right: (1, 1, S).
        y: rows' centers in (-1, 1), top to bottom: (1, S, 1).
        pixel: a pixel's width in unit coordinates.

    Example:
        >>> canvas = Canvas(4)
        >>> canvas.inside(abs(canvas.x) - 0.5).ravel().tolist()
        [0.0, 1.0, 1.0, 0.0]
    """

    def __init__(self, size: int) -> None:
        centers = ((np.arange(size) + 0.5) * (2 / size) - 1).astype(np.float32)
        self.size = size
        self.x = centers[None, None, :]
        self.y = centers[None, :, None]
        self.pixel = np.float32(2 / size)  # a plain np.float64 here would turn every plane into doubles

    def inside(self, distance: Array, softness: float | Array = 0.0) -> Array:
        """How much of each pixel a shape covers, in [0, 1].

        Args:
            distance: signed distance to the border in unit coordinates, negative inside.
            softness: width of the border; never less than a pixel, hence no jagged edges.
        """
        ramp = np.clip(0.5 - distance / np.maximum(softness, self.pixel), 0, 1)
        return ramp * ramp * (3 - 2 * ramp)

    def stroke(self, distance: Array, width: float | Array) -> Array:
        """How much of each pixel a line covers: thinner than a pixel it grows faint rather than vanishing."""
        left: Array = np.clip((distance + width / 2) / self.pixel + 0.5, 0, 1)
        right: Array = np.clip((distance - width / 2) / self.pixel + 0.5, 0, 1)
        return left - right

    def field(self, draws: Draws, cells: int) -> Array:
        """Smooth random texture with about unit variance and ``cells`` bumps across: (n, S, S).

        The same bumps at every size: cubic B-splines over a lattice of random numbers.
        """
        lattice = draws.normal(cells + 3, cells + 3)
        basis = _spline_basis(self.size, cells)
        smooth: Array = basis @ lattice @ basis.T  # (S, k) (n, k, k) (k, S)
        return smooth * 2.1  # smoothing leaves 0.48 of the lattice's deviation

    def fractal(self, draws: Draws, cells: int, octaves: int) -> Array:
        """Fields of doubling frequency and falling strength, about unit variance: (n, S, S)."""
        total = self.field(draws, cells)
        for octave in range(1, octaves):
            total = total + self.field(draws, cells * 2**octave) * 0.6**octave
        scale = sum(0.36**octave for octave in range(octaves)) ** 0.5
        return total / np.float32(scale)


@lru_cache(maxsize=32)
def _spline_basis(size: int, cells: int) -> Array:
    """Weights of the cubic B-splines at each pixel's center: (size, cells + 3), rows sum to 1."""
    place = (np.arange(size) + 0.5) * cells / size  # in cells
    gap = np.abs(place[:, None] - (np.arange(cells + 3)[None, :] - 1))
    near = 2 / 3 - gap**2 + gap**3 / 2
    far = np.clip(2 - gap, 0, None) ** 3 / 6
    return np.where(gap < 1, near, far).astype(np.float32)


def ellipse(x: Array, y: Array, radius_x: Array | float, radius_y: Array | float) -> Array:
    """Approximate signed distance to an ellipse around the origin, negative inside."""
    reach: Array = np.sqrt(np.square(x / radius_x) + np.square(y / radius_y))
    return (reach - 1) * np.minimum(radius_x, radius_y)


def rotate(x: Array, y: Array, angle: Array) -> tuple[Array, Array]:
    """Coordinates in a frame turned by ``angle`` radians."""
    cos, sin = np.cos(angle), np.sin(angle)
    return x * cos + y * sin, y * cos - x * sin


@checked
class Phantom(ABC):
    """Images drawn from a seed alone, for trials and tests without medical data.

    Args:
        image_size: height and width in pixels, at least 16; the scenes are the same at every size.
        train_per_class: training images per class, at least 1.
        test_per_class: test images per class, at least 1; no scene of theirs is a training scene.
        seed: at least 0; image i of a class and split depends on (seed, split, class, i) alone.

    Raises:
        ValueError: for an argument out of range.
    """

    name: ClassVar[str]
    classes: ClassVar[tuple[str, ...]]

    def __init__(
        self, *, image_size: Annotated[int, Ge(16)], train_per_class: Count, test_per_class: Count, seed: Seed
    ) -> None:
        self.image_size = image_size
        self.train_per_class = train_per_class
        self.test_per_class = test_per_class
        self.seed = seed

    def load(self) -> Splits:
        """Draw both splits, class after class."""
        train = self._draw_split("train", self.train_per_class)
        return Splits(self.name, train, self._draw_split("test", self.test_per_class))

    @abstractmethod
    def draw(self, label: int, draws: Draws, canvas: Canvas) -> Array:
        """Images of one class, one per stream in ``draws``: (n, C, S, S) in [0, 1], clipped beyond."""

    def _draw_split(self, split: str, per_class: int) -> ImageSet:
        canvas = Canvas(self.image_size)
        step = max(1, _PIXELS_AT_ONCE // self.image_size**2)
        batches = []
        for label, name in enumerate(self.classes):
            seeds = [derive_seed(self.seed, self.name, split, name, index) for index in range(per_class)]
            for start in range(0, per_class, step):
                drawn = self.draw(label, Draws(seeds[start : start + step]), canvas)
                batches.append((drawn.clip(0, 1) * 255).round().astype(np.uint8))
        labels = torch.arange(len(self.classes)).repeat_interleave(per_class)
        return ImageSet(torch.from_numpy(np.concatenate(batches)), labels, self.classes)
