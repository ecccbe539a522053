"""Maps of what a defense has found, one for each client, in one picture."""

from collections.abc import Collection, Mapping

import matplotlib
import torch
from PIL import Image
from torch import Tensor

from fedgan.scoring.grid import headed, stack

SIDE = 128  # pixels, of the shorter side: smaller maps are enlarged, pixel by pixel
ACROSS = 8  # clients in a row
GAP = 6  # pixels


def draw_maps(maps: Mapping[int, Tensor], malicious: Collection[int] = ()) -> Image.Image:
    """Each client's map under its id, dark where it is 0, bright where the highest of all maps is.

    Args:
        maps: by client id, (H, W), not negative.
        malicious: the ids that are marked so.
    """
    highest = max(float(each.max()) for each in maps.values()) or 1.0
    tiles = [
        headed(_heat(each / highest), f"client {client}{', malicious' if client in malicious else ''}")
        for client, each in sorted(maps.items())
    ]
    rows = [stack(tiles[i : i + ACROSS], vertical=False, gap=GAP) for i in range(0, len(tiles), ACROSS)]
    return stack(rows, vertical=True, gap=GAP)


def _heat(share: Tensor) -> Image.Image:
    """A map of values in [0, 1] in colors."""
    colors = matplotlib.colormaps["magma"](share.cpu().double().numpy(), bytes=True)[..., :3]
    scale = max(1, -(-SIDE // min(share.shape)))
    enlarged = torch.from_numpy(colors).repeat_interleave(scale, dim=0).repeat_interleave(scale, dim=1)
    return Image.fromarray(enlarged.contiguous().numpy())
