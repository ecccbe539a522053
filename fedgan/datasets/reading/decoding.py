"""From image files to pixels: whatever Pillow reads, as bytes of one size."""

import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageOps
from rich.console import Console
from rich.progress import track
from torch import Tensor

VERSION = "2"  # raise it whenever the same file would give other pixels or facts: it is part of the cache's key
WHITE = 65535  # what files of 16 bits show as white by default
# By content, not by suffix: Pillow has decoders for dozens of formats, and one of them starts Ghostscript.
_FORMATS = ("PNG", "JPEG", "BMP", "TIFF", "WEBP", "GIF")
_MAX_PIXELS = 89_478_485  # Pillow's own threshold for suspecting a decompression bomb
_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


class Decoded(NamedTuple):
    """One image.

    Attributes:
        pixels: uint8, (C, S, S).
        peak: the file's largest value if it is gray with 16 bits, before anything was clipped; else None.
    """

    pixels: npt.NDArray[np.uint8]
    peak: int | None


def decode_all(
    files: Sequence[Path], image_size: int, channels: int, title: str, workers: int | None = None, white: int = WHITE
) -> tuple[Tensor, int | None]:
    """All files as uint8, (N, C, S, S), in threads (Pillow lets others run while it decodes).

    Args:
        files: in the order of the images.
        image_size: S.
        channels: 1 or 3.
        title: of the progress bar on a terminal.
        workers: how many threads; None: one for each core that this process may use.
        white: as in ``decode_image``.

    Returns:
        The pixels, and the largest value in any gray file of 16 bits; None if there is no such file.

    Raises:
        ValueError: as ``decode_image``.
    """
    images = np.empty((len(files), channels, image_size, image_size), np.uint8)
    peaks: list[int | None] = [None] * len(files)

    def decode(index: int) -> None:
        images[index], peaks[index] = decode_image(files[index], image_size, channels, white)

    console = Console(stderr=True)
    with warnings.catch_warnings():  # decode_image refuses what Pillow only warns of
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        done = in_threads(decode, range(len(files)), workers)
        silent = not console.is_terminal  # no bar in a log file
        for _ in track(done, title, len(files), console=console, transient=True, disable=silent):
            pass
    return torch.from_numpy(images), max((peak for peak in peaks if peak is not None), default=None)


def in_threads(
    function: Callable[[_Item], _Result], items: Sequence[_Item], workers: int | None = None
) -> Iterator[_Result]:
    """``function`` of each item, in their order; after an error or Ctrl-C the rest is not begun.

    Example:
        >>> list(in_threads(len, ["a", "bcd"]))
        [1, 3]
    """
    pool = ThreadPoolExecutor(workers or available_cores())
    try:
        yield from pool.map(function, items)
    finally:
        pool.shutdown(cancel_futures=True)


def available_cores() -> int:
    """The cores that this process may use; in a cluster's job fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def decode_image(file: Path, image_size: int, channels: int, white: int = WHITE) -> Decoded:
    """One image file as uint8, (C, S, S); of an animation the first frame.

    Args:
        file: any format that Pillow knows and ``_FORMATS`` lists.
        image_size: S.
        channels: 1 or 3.
        white: the value, 1 to 65535, that becomes 255 in a gray file of 16 bits; larger ones are clipped to it.

    Raises:
        ValueError: in one line that names the file, if it is damaged, no image, or suspiciously large.
    """
    try:
        with Image.open(file, formats=_FORMATS) as image:
            if image.width * image.height > _MAX_PIXELS:
                raise ValueError(f"{image.width} x {image.height} pixels, more than {_MAX_PIXELS:,}")
            image.draft(None, (2 * image_size, 2 * image_size))  # JPEG: skip detail that the resizing would drop
            upright = ImageOps.exif_transpose(image)
            peak = _peak(upright)
            mode, plain = "L" if channels == 1 else "RGB", _plain(upright, white)
            if plain.mode != "L":  # three equal planes would be resized for nothing
                plain = plain.convert(mode)
            small = plain.resize((image_size, image_size), Image.Resampling.BICUBIC).convert(mode)
    except Exception as error:  # Pillow's plug-ins raise whatever the damaged bytes lead them into
        reason = " ".join(str(error).split())
        raise ValueError(f"dataset.root: cannot read the image {str(file)!r}: {reason}") from error
    planes = np.asarray(small).reshape(image_size, image_size, channels).transpose(2, 0, 1)
    return Decoded(np.ascontiguousarray(planes), peak)


def _peak(image: Image.Image) -> int | None:
    """The largest value of more than eight bits; None of an image that has eight."""
    if not image.mode.startswith("I"):
        return None
    low, high = np.asarray(image).min(), np.asarray(image).max()
    if low < 0 or high > WHITE:
        raise ValueError("integer pixels beyond 16 bits")
    return int(high)


def _plain(image: Image.Image, white: int) -> Image.Image:
    """Eight bits (``white`` becomes 255) and no transparency (it becomes black, as around a radiograph)."""
    if image.mode == "F":
        raise ValueError("floating-point pixels, whose range is unknown")
    if image.mode.startswith("I"):
        wide = np.asarray(image).astype(np.int64).clip(max=white)
        return Image.fromarray((wide * 255 / white).round().astype(np.uint8))
    if image.has_transparency_data:
        opaque = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", opaque.size, "black"), opaque)
    return image
