"""Images drawn for a test, and the folders of real ones."""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.ndimage import gaussian_filter
from torch import Tensor

from experiments.images import FOLDERS
from fedgan.core.images import ImageSet, Splits
from fedgan.datasets.chest_phantom import ChestPhantom
from fedgan.datasets.lesion_phantom import LesionPhantom

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
    for split, i, label, pixels in _each(splits):
        _save(root / FOLDERS[0] / split / XRAY_CLASSES[label] / f"person{split}{i}_{i}.png", pixels[0])
    (root / FOLDERS[1]).mkdir()
    return root


def drawn_lesions(root: Path, train_per_class: int = 32, test_per_class: int = 16) -> Path:
    """Drawn skin lesions in a folder as the real ones are in: train/ and test/, their classes, labels.csv; ``root``."""
    splits = LesionPhantom(image_size=32, train_per_class=train_per_class, test_per_class=test_per_class, seed=0).load()
    rows = ["split,class,file,dx,lesion_id"]
    for split, i, label, pixels in _each(splits):
        name = splits.train.classes[label]
        _save(root / split / name / f"{split}{i}.png", pixels.permute(1, 2, 0))
        rows.append(f"{split},{name},{split}{i}.png,{('nv', 'mel')[label]},lesion_{split}{i}")
    (root / "labels.csv").write_text("\n".join(rows) + "\n")
    return root


def _each(splits: Splits) -> Iterator[tuple[str, int, int, Tensor]]:
    """Of each image: the split, its place there, its label, its pixels (C, H, W)."""
    for split, part in (("train", splits.train), ("test", splits.test)):
        for i, (image, label) in enumerate(zip(part.images, part.labels, strict=True)):
            yield split, i, int(label), image


def _save(file: Path, pixels: Tensor) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels.numpy()).save(file)
