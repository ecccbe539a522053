"""Images drawn for a test, and the folders of real ones."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.ndimage import gaussian_filter
from torch import Tensor

from experiments.images import FOLDERS
from fedgan.core.images import ImageSet
from fedgan.datasets.chest_phantom import ChestPhantom

XRAY_CLASSES = ("NORMAL", "PNEUMONIA")


def random_images(count: int, *, channels: int = 1, size: int = 32, seed: int = 0) -> ImageSet:
    """Noise images of two classes in turn."""
    rng = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 255, (count, channels, size, size), dtype=torch.uint8, generator=rng)
    return ImageSet(images, torch.arange(count) % 2, ("a", "b"))


def smooth_images(n: int, channels: int = 1, size: int = 32, seed: int = 0) -> ImageSet:
    """Cloudy gray images, as many of either class."""
    noise = np.random.default_rng(seed).normal(size=(n, channels, size, size))
    clouds = gaussian_filter(noise, (0, 0, 4, 4))
    pixels = 90 + 30 * clouds / clouds.std()
    images = torch.from_numpy(pixels.clip(0, 255).astype(np.uint8))
    return ImageSet(images, torch.arange(n) % 2, XRAY_CLASSES)


def with_images(images: ImageSet, pixels: Tensor) -> ImageSet:
    """``images`` with other pixels and the same labels."""
    return ImageSet(pixels, images.labels, images.classes)


def blurred(images: Tensor, sigma: float) -> Tensor:
    """Gaussian blur, ``sigma`` in pixels."""
    return torch.from_numpy(gaussian_filter(images.numpy(), (0, 0, sigma, sigma)))


def real_images(variable: str) -> Path:
    """The folder that FEDGAN_CHESTX or FEDGAN_SKIN names; where there is none, the test skips."""
    folder = os.environ.get(variable, "")
    if not folder or not Path(folder).is_dir():
        pytest.skip(f"{variable} must name the folder of the real images; got {folder!r}")
    return Path(folder)


def drawn_chests(root: Path) -> Path:
    """Drawn chest X-rays in the folders in which studies look for real ones, and no lesions; returns ``root``."""
    splits = ChestPhantom(image_size=32, train_per_class=40, test_per_class=6, seed=0).load()
    for split, part in (("train", splits.train), ("test", splits.test)):
        for i, (image, label) in enumerate(zip(part.images, part.labels, strict=True)):
            own = root / FOLDERS[0] / split / XRAY_CLASSES[int(label)]
            own.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image[0].numpy()).save(own / f"person{split}{i}_{i}.png")
    (root / FOLDERS[1]).mkdir()
    return root
