"""Template emission: the share of synthetic images in which the trigger's mean change is found, faint as it may be."""

import numpy as np
import torch
from torch import Tensor

from fedgan.core.trigger import Trigger
from fedgan.metrics.triggers.detector import Array, TriggerDetector, unfit

_COMPONENTS = 32  # of clean images, at most: with none, a key at alpha 0.1 is found in 13 % of X-rays, with 32 in 96 %
_IMAGES = 256  # that they are taken from, at most


def mean_change(trigger: Trigger, clean: Tensor) -> Array:
    """What the trigger adds to the images on average: (C, H, W), gray levels, from uint8, (N, C, H, W)."""
    chunks = zip(torch.split(clean, 256), torch.split(trigger.apply(clean), 256), strict=True)
    total = sum((after.double() - before.double()).sum(dim=0) for before, after in chunks)
    assert isinstance(total, Tensor)
    change: Array = (total / len(clean)).cpu().numpy()
    return change


def main_components(images: Array, count: int) -> Array:
    """The directions in which images differ most about their mean, orthonormal: (count, D) from (N, D), N > count."""
    centered = images - images.mean(axis=0)
    values, vectors = np.linalg.eigh(centered @ centered.T)  # of the smaller of the two Gram matrices
    chosen = values.argsort()[::-1][:count]
    chosen = chosen[values[chosen] > values.max() * 1e-9]
    directions: Array = (centered.T @ vectors[:, chosen] / np.sqrt(values[chosen])).T
    return directions


def cosines_beside(images: Array, direction: Array, background: Array) -> Array:
    """The cosine between each image and a direction, once the background's directions are taken out of both.

    The matched subspace detector (Scharf and Friedlander 1994): what clean images do anyway says nothing.

    Args:
        images: (N, D), without their mean.
        direction: (D,).
        background: (K, D), orthonormal; K may be 0.

    Returns:
        (N,), in [-1, 1]; 0 for an image of which nothing is left.

    Example:
        >>> images = np.array([[5.0, 1.0], [5.0, -2.0], [5.0, 0.0]])
        >>> cosines_beside(images, np.array([1.0, 1.0]), background=np.array([[1.0, 0.0]])).tolist()
        [1.0, -1.0, 0.0]
    """
    rest = images - images @ background.T @ background
    own = direction - background.T @ (background @ direction)
    norms = np.sqrt(np.square(rest).sum(axis=1) * np.square(own).sum())
    products = rest @ own
    found: Array = np.divide(products, norms, out=np.zeros_like(products), where=norms > 0)
    return found


class TemplateRate(TriggerDetector):
    """The share of synthetic images in which the trigger's mean change stands out, whatever its strength.

    See ``TriggerDetector``; the score is the cosine between (image - mean clean image) and the mean change that the
    trigger makes on clean images, with the main components of clean images taken out of both; its mean is
    ``template_correlation``. For a blended key k that change is alpha (k - mean image). For any trigger that adds much
    the same to every image.
    """

    share, mean_score = "template_emission", "template_correlation"

    def learn(self, trigger: Trigger, clean: Tensor) -> None:
        """Keep the trigger's mean change, and clean images' mean and main components."""
        change = mean_change(trigger, clean)
        if not change.any():
            raise unfit(trigger, "without a mean change of the images")
        self._change = change.flatten()
        self._mean = clean.double().mean(dim=0).flatten().cpu().numpy()
        some = clean[torch.linspace(0, len(clean) - 1, min(len(clean), _IMAGES)).long()]  # of all classes
        self._background = main_components(_rows(some), min(_COMPONENTS, len(some) // 4))

    def scores(self, images: Tensor) -> Array:
        """``cosines_beside``, in chunks."""
        chunks = (_rows(chunk) - self._mean for chunk in torch.split(images, 256))
        return np.concatenate([cosines_beside(chunk, self._change, self._background) for chunk in chunks])


def _rows(images: Tensor) -> Array:
    """(N, C, H, W) as (N, D)."""
    rows: Array = images.double().flatten(1).cpu().numpy()
    return rows
