"""What a flagged client draws at one place, next to what the others do: a person tells a trigger from a ruler."""

from collections.abc import Mapping

import torch
from PIL import Image, ImageDraw
from torch import Tensor

from fedgan.defenses.base import Comparison
from fedgan.scoring.grid import headed, stack
from fedgan.scoring.maps import GAP, SIDE, WHOLE, Place, enlarged, heat, place_of

SMALLEST = 3  # pixels: what is cut out is three times the place, or three times this
EXAMPLES = 2  # images of the client
FRAME = "#00e676"  # seen on gray, on the colors of evidence and on red and blue
LINE = 2  # pixels


def draw_comparisons(title: str, found: Mapping[str, tuple[Tensor, Comparison]]) -> Image.Image:
    """A row for each map: the map and images of the client, and, enlarged, what is around the place, which is framed.

    Evidence is brightest where the client differs most surely. Enlarged are the client's mean, the median of the
    others' means, both between the darkest and the brightest value of the two, and the difference (of the channel that
    differs most), blue where the client is darker and red where it is brighter.

    Args:
        title: stands above each row, ahead of the map's name and the place; of a place that is all of the image there
            is no frame.
        found: by the map's name, the map, (H, W), not negative, and what is compared.
    """
    return stack([_row(title, name, *each) for name, each in found.items()], vertical=True, gap=GAP)


def around(place: Place, height: int, width: int) -> tuple[slice, slice]:
    """The rows and columns that are cut out: the place, and as much again on each side where there is so much.

    Example:
        >>> around(Place(top=27, bottom=30, left=10, right=10), height=32, width=32)
        (slice(23, 32, None), slice(6, 15, None))
    """
    rows, columns = (_wider(*place[:2], height), _wider(*place[2:], width))
    return rows, columns


def _wider(first: int, last: int, length: int) -> slice:
    missing = max(0, SMALLEST - (last - first + 1))
    first, last = first - missing // 2, last + missing - missing // 2
    size = last - first + 1
    return slice(max(0, first - size), min(length, last + size + 1))


def _row(title: str, name: str, evidence: Tensor, compared: Comparison) -> Image.Image:
    place = place_of(evidence)
    rows, columns = around(place, *evidence.shape)
    own, others = compared.own[:, rows, columns].cpu().double(), compared.others[:, rows, columns].cpu().double()
    low, high = float(torch.minimum(own, others).min()), float(torch.maximum(own, others).max())
    by_channel = own - others
    apart = by_channel.gather(0, by_channel.abs().argmax(dim=0, keepdim=True))[0]
    largest = float(apart.abs().max())
    tiles = [_tile(_framed(heat(evidence / (evidence.max() or 1)), place), "evidence")]
    for i, image in enumerate(compared.images[:EXAMPLES]):
        tiles.append(_tile(_framed(_gray(image, -1, 1), place), f"its image {i + 1}"))
    inside = Place(
        place.top - rows.start, place.bottom - rows.start, place.left - columns.start, place.right - columns.start
    )
    tiles.append(_tile(_framed(_gray(own, low, high), inside), "zoom: its mean"))
    tiles.append(_tile(_framed(_gray(others, low, high), inside), "zoom: others"))
    tiles.append(_tile(_framed(heat(apart / (largest or 1) / 2 + 0.5, "RdBu_r"), inside), f"difference ±{largest:.2g}"))
    where = f"rows {place.top} to {place.bottom}, columns {place.left} to {place.right}"
    if place.covers(*evidence.shape):
        where = WHOLE if len(compared.images) else "the whole map"
    return headed(stack(tiles, vertical=False, gap=GAP), f"{title}, {name}: {where}")


def _gray(image: Tensor, low: float, high: float) -> Tensor:
    """Pixels, (h, w, 3), of an image, (C, h, w): black at ``low``, white at ``high``; of three channels in colors."""
    own = image.cpu().double()
    channels = own if len(own) == 3 else own.mean(dim=0, keepdim=True).expand(3, -1, -1)
    share = ((channels - low) / ((high - low) or 1)).clamp(0, 1)
    return (share * 255).round().to(torch.uint8).permute(1, 2, 0)


def _tile(picture: Image.Image, title: str) -> Image.Image:
    """The picture under its title, with white at the right where it is too narrow for one."""
    white = Image.new("RGB", (SIDE - picture.width, 1), "white") if picture.width < SIDE else None
    return headed(stack([picture, white], vertical=False) if white else picture, title)


def _shown(pixels: Tensor) -> Image.Image:
    return enlarged(pixels, max(pixels.shape[:2]))


def _framed(pixels: Tensor, place: Place) -> Image.Image:
    """A picture of the pixels with a line around the place, unless that is all of it."""
    picture = _shown(pixels)
    if place.covers(*pixels.shape[:2]):
        return picture
    scale = picture.height // len(pixels)
    corners = (place.left, place.top, place.right + 1, place.bottom + 1)
    left, top, right, bottom = (scale * each for each in corners)
    ImageDraw.Draw(picture).rectangle((left, top, right - 1, bottom - 1), outline=FRAME, width=LINE)
    return picture
