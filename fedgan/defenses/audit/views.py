"""What the server compares of the images that clients' generators draw: one map per client and view."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

Map = NDArray[np.float64]  # (K, H, W)
LARGEST = 64  # pixels per side: larger images are averaged down
_DARKEST = 1e-6  # of an amplitude: its logarithm is taken
_BRIGHTEST = 1e6  # of a pixel: far beyond [-1, 1], and sums over images and their squares are numbers


def place(images: Tensor) -> Map:
    """The mean image: what a trigger at a fixed place changes.

    Args:
        images: (classes, images of each, C, H, W), in [-1, 1], all clients' from the same latents.

    Returns:
        (C, H, W).
    """
    return _numbers(images.mean(dim=(0, 1)))


def classes(images: Tensor) -> Map:
    """Each class's mean image less the mean of all classes: what wrong labels and triggers of one class change.

    Args:
        images: as for ``place``.

    Returns:
        ((classes - 1) * C, H, W): the last class's follows from the others'. (C, H, W) of zeros for one class alone.
    """
    means = images.mean(dim=1)
    apart = (means - means.mean(dim=0))[: max(1, len(means) - 1)]
    return _numbers(apart.flatten(0, 1))


def spectrum(images: Tensor) -> Map:
    """The mean logarithm of the images' amplitudes: what waves, blends and changes of frequencies leave.

    Args:
        images: as for ``place``.

    Returns:
        (C, H, W // 2 - 1), frequency 0 of the rows in the middle. Of the columns the lowest and the highest are left
        out: they have each value twice, and what is twice looks like a spot.
    """
    return arranged(log_amplitudes(images).mean(dim=(0, 1)))


def log_amplitudes(images: Tensor) -> Tensor:
    """Of the images' two-dimensional Fourier transforms: (..., H, W) to (..., H, W // 2 + 1)."""
    amplitudes: Tensor = torch.fft.rfft2(images)
    return amplitudes.abs().clamp_min(_DARKEST).log()


def arranged(amplitudes: Tensor) -> Map:
    """As a map: (C, H, W // 2 + 1) to (C, H, W // 2 - 1); see ``spectrum``."""
    return _numbers(torch.fft.fftshift(amplitudes, dim=-2)[..., 1:-1])


class View(NamedTuple):
    """One way to look at images.

    Attributes:
        map_of: their map.
        background: pixels per side of the box whose mean is taken away of a map. Spectra differ smoothly between
            honest clients, and a trigger's mark on them is wide.
        equalizable: whether color differences can be fitted away (``recolored``) without hiding what the view detects:
            a gain of class differences is what flipped labels are, and spectra have no colors.
    """

    map_of: Callable[[Tensor], Map]
    background: int
    equalizable: bool = False


VIEWS: Mapping[str, View] = {
    "place": View(place, 9, equalizable=True),
    "classes": View(classes, 9),
    "spectrum": View(spectrum, 17),
}


def reduced(images: Tensor) -> Tensor:
    """Images of at most ``LARGEST`` pixels per side, by averaging: float32, (B, C, h, w), finite.

    A client's weights may be finite and what they draw is not. Such pixels are taken for gray, and those beyond any
    measure are cut: one client's in one round would make all clients' evidence NaN, for good.
    """
    images = images.float().nan_to_num(nan=0.0).clamp(-_BRIGHTEST, _BRIGHTEST)
    return images if images.shape[-1] <= LARGEST else adaptive_avg_pool2d(images, LARGEST)


def _numbers(tensor: Tensor) -> Map:
    numbers: Map = tensor.double().cpu().numpy()
    return numbers
