"""Sample grids: one band of images per class, labeled with its name, and real images of that class below it."""

import unicodedata
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.ft2font import FT2Font
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor
from torchvision.utils import make_grid

from fedgan.core.files import atomic_write
from fedgan.core.images import ImageSet

MIN_TILE = 64  # pixels: smaller images are enlarged, or nobody sees what is on them
GAP = 2
HEADLINE = 18  # pixels
TEXT = 13  # pixels


def save_grid(images: ImageSet, path: Path, **options: Any) -> None:
    """Write ``draw_grid``'s picture as a PNG, whole or not at all."""
    picture = draw_grid(images, **options)
    atomic_write(path, lambda file: picture.save(file))


def draw_grid(
    images: ImageSet, *, per_class: int, columns: int = 8, note: str = "", real: ImageSet | None = None
) -> Image.Image:
    """The first ``per_class`` images of every class, class by class, each band under its name (see ``legible``).

    Args:
        images: of all classes.
        per_class: images of every class.
        columns: images in a row, at most.
        note: follows each name.
        real: real images, of which one row is drawn below each band.
    """
    bands = []
    for label, name in enumerate(images.classes):
        title = legible(name, f"class {label}")
        bands.append(headed(_tiles(images.of_class(label)[:per_class], columns), title + note))
        if real is not None:
            bands.append(headed(_row(real.of_class(label), min(columns, per_class)), f"{title}, real"))
    return stack(bands, vertical=True)


def places(
    image_size: int, per_class: int, classes: int, columns: int = 8, *, real: bool = False
) -> tuple[tuple[int, int], list[tuple[int, int, int, int]]]:
    """Where the images of a grid are.

    Args:
        image_size: pixels, before they are enlarged.
        per_class: images of every class.
        classes: how many there are.
        columns: as in ``draw_grid``.
        real: whether there are real images below each band.

    Returns:
        The grid's width and height, and for each image that is not one of those, in order, its left, top, width and
        height; all in pixels.

    Example:
        >>> size, boxes = places(32, 2, 2)
        >>> size, boxes[0], boxes[3]
        ((134, 172), (2, 20, 64, 64), (68, 106, 64, 64))
    """
    tile = image_size * max(1, MIN_TILE // image_size)
    gap = GAP if per_class > 1 else 0  # make_grid leaves a single image without a border
    across, down = min(columns, per_class), -(-per_class // columns)
    band = HEADLINE + down * (tile + gap) + gap + real * (HEADLINE + tile + 2 * gap)
    boxes = [
        (gap + i % across * (tile + gap), label * band + HEADLINE + gap + i // across * (tile + gap), tile, tile)
        for label in range(classes)
        for i in range(per_class)
    ]
    return (across * (tile + gap) + gap, classes * band), boxes


def real_places(image_size: int, per_class: int, classes: int, columns: int = 8) -> list[tuple[int, int, int, int]]:
    """Where the real images below each band of a grid are: left, top, width and height, in pixels.

    Args:
        image_size: see ``places``, as are the others.
        per_class: images of every class.
        classes: how many there are.
        columns: as in ``draw_grid``.

    Example:
        >>> real_places(32, 2, 2)
        [(2, 106, 64, 64), (68, 106, 64, 64), (2, 278, 64, 64), (68, 278, 64, 64)]
    """
    (_, height), boxes = places(image_size, per_class, classes, columns, real=True)
    band, tile = height // classes, boxes[0][2]
    gap = GAP if per_class > 1 else 0
    top = band - gap - tile
    return [
        (gap + i * (tile + gap), label * band + top, tile, tile)
        for label in range(classes)
        for i in range(min(columns, per_class))
    ]


def headed(picture: Image.Image, title: str) -> Image.Image:
    """The picture under a line of text, black on white."""
    sheet = Image.new("RGB", (picture.width, picture.height + HEADLINE), "white")
    sheet.paste(picture, (0, HEADLINE))
    font = ImageFont.truetype(font_file(), TEXT)
    ImageDraw.Draw(sheet).text((GAP + 2, 2), title, fill="black", font=font)
    return sheet


def legible(name: str, otherwise: str) -> str:
    """The name, its accents joined to their letters (NFC); ``otherwise`` if the font would draw a box for part of it.

    Example:
        >>> legible("na\\u0308vus", "class 0"), legible("肺炎", "class 1")
        ('nävus', 'class 1')
    """
    joined = unicodedata.normalize("NFC", name)
    return joined if characters().issuperset(map(ord, joined)) else otherwise


def font_file() -> Path:
    """DejaVu Sans, which matplotlib brings along: Latin, Greek, Cyrillic, Arabic and others; no Chinese or Japanese."""
    return Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"


@cache
def characters() -> frozenset[int]:
    """The code points of the characters that the font has."""
    return frozenset(FT2Font(font_file()).get_charmap())


def stack(pictures: Sequence[Image.Image], *, vertical: bool, gap: int = 0) -> Image.Image:
    """Pictures below or next to each other on white, ``gap`` pixels apart."""
    across = max(p.width for p in pictures) if vertical else sum(p.width + gap for p in pictures) - gap
    down = sum(p.height + gap for p in pictures) - gap if vertical else max(p.height for p in pictures)
    sheet = Image.new("RGB", (across, down), "white")
    offset = 0
    for picture in pictures:
        sheet.paste(picture, (0, offset) if vertical else (offset, 0))
        offset += (picture.height if vertical else picture.width) + gap
    return sheet


def _row(images: Tensor, count: int) -> Image.Image:
    """The first ``count`` images; as wide and high whether there are as many or none."""
    size, gap = images.shape[-1], GAP if count > 1 else 0
    tile = size * max(1, MIN_TILE // size)
    row = Image.new("RGB", (count * (tile + gap) + gap, tile + 2 * gap), "white")
    if len(images):
        border = gap if len(images) == 1 else 0  # make_grid leaves a single image without one
        row.paste(_tiles(images[:count], count), (border, border))
    return row


def _tiles(images: Tensor, columns: int) -> Image.Image:
    scale = max(1, MIN_TILE // images.shape[-1])
    enlarged = images.repeat_interleave(scale, dim=-2).repeat_interleave(scale, dim=-1)
    grid = make_grid(enlarged, nrow=min(columns, len(enlarged)), padding=GAP, pad_value=255)  # (3, h, w)
    return Image.fromarray(grid.permute(1, 2, 0).contiguous().numpy())
