"""From JPEGs on disk to batches on the device: the first decoding, reading again, an epoch of batches."""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Annotated

import numpy as np
import torch
from annotated_types import Ge, Interval
from PIL import Image

from experiments.benchmarks.base import Benchmark, Row, in_turn, spread
from fedgan.core.arguments import Channels, Count, checked, validated
from fedgan.core.images import ImageSet, Splits, to_float
from fedgan.datasets.image_folder import ImageFolder
from fedgan.datasets.reading.decoding import available_cores, decode_all, in_threads
from fedgan.gan.client import shuffled_batches

GREY, COLOUR = (500, 600), (450, 600)  # a radiograph's size, and that of ISIC's smaller photographs
NOISE = (700, 800)  # every file shows a window of the same noise


@checked
class Data(Benchmark):
    """A folder of JPEGs, half of them gray and half in color, made for the occasion and removed afterwards.

    Args:
        images: how many.
        image_size: height and width of the decoded images.
        channels: 1 (gray) or 3 (RGB).
        file_size: height and width of the files; None: 500 x 600 the gray ones and 450 x 600 those in color.
        batch_size: of the epoch.
        repeats: how often each side is measured.
    """

    title = "images from the disk to the device"
    goal = "5,000 JPEGs at 224 px decoded and kept in under 20 s on 2 cores; read again in under 1 s"

    def __init__(
        self,
        *,
        images: Annotated[int, Ge(8)] = 5000,
        image_size: Count = 224,
        channels: Channels = 1,
        file_size: Annotated[int, Interval(ge=1, le=min(NOISE))] | None = None,
        batch_size: int = 32,
        repeats: Count = 5,
    ) -> None:
        super().__init__(repeats=repeats)
        validated("batch_size", Annotated[int, Interval(ge=1, le=images // 2)], batch_size)
        self.images, self.image_size, self.channels, self.batch_size = images, image_size, channels, batch_size
        self.file_size = file_size

    def measure(self, folder: Path) -> Sequence[Row]:
        """One row per side: median seconds and images per second."""
        with TemporaryDirectory(dir=folder) as scratch:
            files = draw_jpegs(Path(scratch) / "images", self.images, self.file_size)
            sides = self._sides(Path(scratch), files)
            seconds = in_turn({name: side for name, (_, side) in sides.items()}, self.repeats)
        return [
            {
                "part": name,
                "images": count,
                "seconds": median(seconds[name]),
                "range": spread(seconds[name]),
                "images_per_second": count / median(seconds[name]),
            }
            for name, (count, _) in sides.items()
        ]

    def _sides(self, scratch: Path, files: Sequence[Path]) -> dict[str, tuple[int, Callable[[], object]]]:
        """How many images, and what is done with them, by the side's name."""
        train = self._load(scratch).train
        sample = files[:: max(1, len(files) // 500)]  # enough of them to compare one worker with all

        def first() -> None:
            shutil.rmtree(scratch / "cache")
            self._load(scratch)

        def decode(workers: int) -> None:
            decode_all(sample, self.image_size, self.channels, "decoding", workers)

        return {
            "decoded by 1 worker": (len(sample), lambda: decode(1)),
            f"decoded by all, {available_cores()}": (len(sample), lambda: decode(available_cores())),
            "decoded and kept": (len(files), first),
            "read again": (len(files), lambda: self._load(scratch)),
            "fingerprint": (len(train), lambda: replace(train).fingerprint),
            "an epoch of batches": (len(train), lambda: epoch(train, self.batch_size)),
        }

    def _load(self, scratch: Path) -> Splits:
        return ImageFolder(
            root=str(scratch / "images"),
            image_size=self.image_size,
            channels=self.channels,
            seed=0,
            cache_dir=str(scratch / "cache"),
        ).load()


def epoch(images: ImageSet, batch_size: int) -> None:
    """Every image once, in shuffled batches on the device, as the local step takes them."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    here = images.to(device)
    for indices in shuffled_batches(len(here), batch_size, torch.Generator(device).manual_seed(0)):
        to_float(here.images[indices]).contiguous(memory_format=torch.channels_last)


def draw_jpegs(root: Path, count: int, size: int | None = None) -> list[Path]:
    """``count`` JPEGs, smooth shapes under noise, in train/ and test/ (a fifth) of two classes.

    Args:
        root: where the folders are made.
        count: how many files.
        size: their height and width; None: 500 x 600 the gray ones and 450 x 600 those in color, about 90 kB each.

    Returns:
        The files, gray and in color by turns.
    """
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 8, (*NOISE, 1)).astype(np.float32)
    folders = [root / split / name for split in ("train",) * 4 + ("test",) for name in ("a", "b")]
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)

    def draw(index: int) -> Path:
        in_color = bool(index // 2 % 2)
        height, width = (size, size) if size else COLOUR if in_color else GREY
        y, x = np.mgrid[:height, :width, :1][:2] / np.float32(100)
        pace = np.random.default_rng(index).uniform(0.5, 2, (2, 3 if in_color else 1)).astype(np.float32)
        top, left = index % (NOISE[0] - height + 1), index // 200 % (NOISE[1] - width + 1)
        shapes = 127 + 60 * np.sin(pace[0] * x) + 50 * np.cos(pace[1] * y)
        pixels = (shapes + noise[top : top + height, left : left + width]).clip(0, 255).astype(np.uint8)
        file = folders[index % len(folders)] / f"{index:06d}.jpg"
        Image.fromarray(pixels if in_color else pixels[..., 0]).save(file, quality=90)
        return file

    return list(in_threads(draw, range(count)))
