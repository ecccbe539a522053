"""Maps of what a defense has found, one for each client, in one picture; and the place that a map speaks of."""

from collections.abc import Collection, Mapping
from typing import NamedTuple

import matplotlib
import numpy as np
import torch
from PIL import Image
from scipy.ndimage import find_objects, label
from torch import Tensor

from fedgan.scoring.grid import headed, stack

SIDE = 128  # pixels: what is smaller is enlarged, pixel by pixel
ACROSS = 8  # clients in a row
GAP = 6  # pixels
WHOLE = "the whole image"  # where a place is all of it


class Place(NamedTuple):
    """A rectangle of pixels; all four belong to it.

    Attributes:
        top: its first row.
        bottom: its last row.
        left: its first column.
        right: its last column.
    """

    top: int
    bottom: int
    left: int
    right: int

    def covers(self, height: int, width: int) -> bool:
        """Whether it is all of a map, which is then no place."""
        return self == (0, height - 1, 0, width - 1)


def place_of(evidence: Tensor) -> Place:
    """Where a map is high: the rectangle around what is connected to its highest value and at least half of it.

    Args:
        evidence: (H, W), not negative.

    Example:
        >>> evidence = torch.zeros(8, 8)
        >>> evidence[2:4, 5:8] = torch.tensor([[6.0, 9.0, 5.0], [5.0, 4.0, 3.0]])
        >>> evidence[7, 0] = 8.0  # high too, but elsewhere
        >>> place_of(evidence)
        Place(top=2, bottom=3, left=5, right=7)
    """
    values = evidence.cpu().double().numpy()
    regions, _ = label(values >= values.max() / 2, structure=np.ones((3, 3)))
    rows, columns = find_objects(regions)[regions.flat[values.argmax()] - 1]
    return Place(rows.start, rows.stop - 1, columns.start, columns.stop - 1)


def draw_maps(maps: Mapping[int, Tensor], malicious: Collection[int] = ()) -> Image.Image:
    """Each client's map under its id, on one scale: dark where it is 0, bright where the highest of all maps is.

    Args:
        maps: by client id, (H, W), not negative.
        malicious: the ids that are marked so.
    """
    highest = max(float(each.max()) for each in maps.values())
    tiles = [
        headed(
            enlarged(heat(each / (highest or 1.0)), min(each.shape)),
            f"client {client}{', malicious' if client in malicious else ''}",
        )
        for client, each in sorted(maps.items())
    ]
    rows = [stack(tiles[i : i + ACROSS], vertical=False, gap=GAP) for i in range(0, len(tiles), ACROSS)]
    return headed(stack(rows, vertical=True, gap=GAP), f"dark: 0, bright: {highest:.3g}")


def heat(share: Tensor, colors: str = "magma") -> Tensor:
    """A map of values in [0, 1], (H, W), in colors of matplotlib's: uint8, (H, W, 3)."""
    painted = matplotlib.colormaps[colors](share.cpu().double().numpy(), bytes=True)
    return torch.from_numpy(painted[..., :3])


def enlarged(pixels: Tensor, length: int) -> Image.Image:
    """Pixels, uint8, (H, W, 3), each repeated so often that ``length`` of them take at least ``SIDE``."""
    scale = max(1, -(-SIDE // length))
    repeated = pixels.repeat_interleave(scale, dim=0).repeat_interleave(scale, dim=1)
    return Image.fromarray(repeated.contiguous().numpy())
