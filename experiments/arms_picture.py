"""What the arms of a study paint, a row each under its name, and what defenses saw of the clients that stood out."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from fedgan.runs.folder import FLAGGED, MAPS
from fedgan.scoring.grid import GAP, headed, places, real_places, stack
from fedgan.scoring.grid_files import grid_files

EACH = 4  # images of a class
TILE = 96  # pixels at least: smaller images are enlarged by a whole number
BETWEEN = 12  # pixels
MOST_SHOWN = 3  # clients of a run whose pictures are shown

Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class Shown:
    """A run whose images are shown; a grid of another size than this says is shown as it is.

    Attributes:
        run: its folder, with sample grids.
        image_size: pixels per side.
        per_class: images of each class in its grids.
        classes: their names.
        emission: the share of images with the trigger; None if it was not measured.
        malicious: the clients that are.
    """

    run: Path
    image_size: int
    per_class: int
    classes: Sequence[str]
    emission: float | None
    malicious: Collection[int]


def draw(arms: Mapping[str, Shown]) -> Image.Image:
    """A row of real test images, then one for each arm; below them the pictures of clients, malicious ones first."""
    real: list[Image.Image] = []
    rows, found = [], []
    for title, own in arms.items():
        share = "" if own.emission is None else f": {own.emission:.0%} of the images carry the trigger"
        grids = grid_files(own.run / "samples")
        grid = Image.open(grids[max(grids)])
        pair = _rows(grid, own.image_size, own.per_class, len(own.classes))
        rows.append(headed(pair[0] if pair else grid, title + share))
        if pair and not real:
            real.append(headed(pair[1], f"real test images: {', '.join(own.classes)}"))
        files = of_clients(own.run, own.malicious)
        found += [headed(Image.open(file), f"what {file.parent.name} saw ({title})") for file in files]
    return stack([*real, *rows, *found], vertical=True, gap=BETWEEN)


def of_clients(run: Path, malicious: Collection[int]) -> list[Path]:
    """The pictures of clients that stood out to a run's defenses, malicious ones first; at most ``MOST_SHOWN``."""
    files = run.glob(f"{MAPS}/*/{FLAGGED}*.png")
    clients = {file: int(file.stem.removeprefix(FLAGGED)) for file in files}
    return sorted(clients, key=lambda file: (clients[file] not in malicious, clients[file], file))[:MOST_SHOWN]


def _rows(grid: Image.Image, size: int, per_class: int, classes: int) -> tuple[Image.Image, Image.Image] | None:
    """The first images of every class, and the real ones below them; None where the grid is another."""
    sheet, boxes = places(size, per_class, classes, real=True)
    if sheet != grid.size:
        return None
    each = min(EACH, per_class)
    real = real_places(size, per_class, classes)
    across = len(real) // classes
    own = [boxes[label * per_class + i] for label in range(classes) for i in range(each)]
    theirs = [real[label * across + i] for label in range(classes) for i in range(min(each, across))]
    side = size * -(-TILE // size)
    return _row(grid, own, each, side), _row(grid, theirs, each, side)


def _row(grid: Image.Image, boxes: Sequence[Box], each: int, side: int) -> Image.Image:
    """What is in the boxes, one after the other, ``side`` pixels wide, with more room between two classes."""
    cut = (grid.crop((left, top, left + width, top + height)) for left, top, width, height in boxes)
    tiles = [tile.resize((side, side), Image.Resampling.NEAREST) for tile in cut]
    classes = [stack(tiles[i : i + each], vertical=False, gap=GAP) for i in range(0, len(tiles), each)]
    return stack(classes, vertical=False, gap=BETWEEN)
