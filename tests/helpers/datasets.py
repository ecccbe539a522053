"""Image folders as users have them, made for a test."""

import re
from collections.abc import Mapping
from inspect import signature
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from fedgan.core.images import Splits
from fedgan.datasets.image_folder import ImageFolder


def pixels(key: str) -> npt.NDArray[np.uint8]:
    """Noise that depends on ``key`` alone: (12, 10)."""
    return np.random.default_rng(crc32(key.encode(errors="surrogateescape"))).integers(0, 256, (12, 10), dtype=np.uint8)


def draw(file: Path, key: str | None = None, kind: str | None = None) -> None:
    """An image file, its folders too; files of one key are copies of each other."""
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels(str(file) if key is None else key)).save(file, kind or "PNG")


def tree(root: Path, counts: Mapping[str, int]) -> Path:
    """Folders with as many images each, no two of them equal."""
    for folder, count in counts.items():
        for index in range(count):
            draw(root / folder / f"{index:03d}.png")
    return root


def both(splits: str, classes: str = "a b", count: int = 4) -> dict[str, int]:
    """``tree``'s counts for each class in each split."""
    return {f"{split}/{name}": count for split in splits.split() for name in classes.split()}


def read(root: Path, /, **changes: Any) -> Splits:
    """The images at 8 x 8, cached next to the root."""
    arguments: dict[str, Any] = {"image_size": 8, "channels": 1, "seed": 0, "cache_dir": str(root.parent / "cache")}
    return ImageFolder(**{**arguments, "root": str(root), **changes}).load()


def refusal(root: Path, /, **changes: Any) -> str:
    """The one line in which the images are refused; nothing was decoded by then."""
    cached = set((root.parent / "cache").glob("*"))
    with pytest.raises(ValueError) as caught:
        read(root, **changes)
    assert "\n" not in str(caught.value)
    name = re.match(r"(?:dataset\.)?(\w+)", str(caught.value))
    assert name is not None
    assert name[1] in signature(ImageFolder).parameters, "one of its settings is named first"
    assert set((root.parent / "cache").glob("*")) == cached
    return str(caught.value)


def counts(splits: Splits) -> dict[str, tuple[int, int]]:
    """Training and test images of each class."""
    return {name: (count, splits.test.counts[name]) for name, count in splits.train.counts.items()}
