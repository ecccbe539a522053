"""Pictures of runs for a page: sample grids, real images, what defenses have left; with the trigger's place."""

import base64
from collections.abc import Iterator, Sequence
from io import BytesIO
from math import prod
from pathlib import Path
from typing import Annotated

import pandas as pd
from annotated_types import Predicate
from PIL import Image, UnidentifiedImageError

from fedgan.attacks.base import Attack
from fedgan.core.arguments import Allowed, validated
from fedgan.core.trigger import Patch, Trigger
from fedgan.federated.data import trigger_of
from fedgan.reports.blocks import Block, Frame, Gallery, Note, Picture, Table
from fedgan.reports.run import Run
from fedgan.reports.words import why_not
from fedgan.runs.allowlist import build_trusted
from fedgan.runs.folder import FLAGGED, MAPS
from fedgan.runs.load import open_run
from fedgan.scoring.grid import draw_grid, places

WIDEST = 1100  # pixels: wider pictures are made smaller
MOST_PIXELS = 40_000_000  # larger files are no pictures of ours
MOST_FILES, MOST_ROWS = 12, 20


def _is_small(size: tuple[int, int]) -> bool:
    return prod(size) <= MOST_PIXELS


PictureSize = Annotated[tuple[int, int], Predicate(_is_small), Allowed(f"at most {MOST_PIXELS} pixels")]
DAMAGED = (OSError, ValueError, UnidentifiedImageError, Image.DecompressionBombError, SyntaxError)


def encoded(picture: Image.Image) -> tuple[str, int]:
    """A picture as a data URI, lossless unless it had to be made smaller, and the length of that."""
    if picture.width > WIDEST:
        picture = picture.resize((WIDEST, round(picture.height * WIDEST / picture.width)), Image.Resampling.LANCZOS)
        options = {"quality": 88}
    else:
        options = {"lossless": True, "quality": 50}
    buffer = BytesIO()
    picture.save(buffer, "WEBP", method=3, **options)
    uri = f"data:image/webp;base64,{base64.b64encode(buffer.getvalue()).decode()}"
    return uri, len(uri)


def opened(file: Path) -> Image.Image:
    """A picture, decoded.

    Raises:
        ValueError: if it is larger than any that fedgan draws.
        OSError: if it is none.
    """
    with Image.open(file) as picture:
        validated(file.name, PictureSize, picture.size)
        return picture.convert("RGB")


def samples(run: Run, title: str, budget: int) -> Gallery | None:
    """The run's sample grids; as many, evenly spread over the rounds, as ``budget`` characters take, the last always.

    Args:
        run: the run.
        title: of the gallery.
        budget: length of the data URIs, roughly.

    Returns:
        None if there is no grid that can be read.
    """
    files = {round_: file for round_, file in run.grids().items() if not file.is_symlink()}
    frames = list(_frames(run, files, budget))
    left = len(files) - len(frames)
    shown = f"{title} ({len(frames)} of {len(files)} grids)" if left else title
    return Gallery(shown, frames) if frames else None


def _frames(run: Run, files: dict[int, Path], budget: int) -> Iterator[Frame]:
    if not files:
        return
    rounds = sorted(files)
    try:
        _, size = encoded(opened(files[rounds[-1]]))
    except DAMAGED:
        return
    for round_ in evenly(rounds, max(1, budget // size)):
        try:
            picture = opened(files[round_])
        except DAMAGED:
            continue
        uri, _ = encoded(picture)
        yield Frame(round_, uri, picture.width, picture.height, marks(run, picture))


def evenly(items: Sequence[int], most: int) -> list[int]:
    """At most so many of the items, evenly spread, the last always and the first if there is room for two.

    Example:
        >>> evenly([0, 5, 10, 15, 20], 3), evenly([0, 5], 1), evenly([0, 5], 9)
        ([0, 10, 20], [5], [0, 5])
    """
    if most >= len(items):
        return list(items)
    if most == 1:
        return [items[-1]]
    return [items[round(i * (len(items) - 1) / (most - 1))] for i in range(most)]


def marks(run: Run, picture: Image.Image) -> list[tuple[int, int, int, int]]:
    """A box around the trigger's place on each image of a grid: left, top, width, height, in pixels of the grid.

    Returns:
        None of them where the run has no trigger at a place, or where the grid has not the size that its settings lead
        to.
    """
    trigger, size = trigger_in(run), (run.record.get("dataset") or {}).get("image_size")
    if not isinstance(trigger, Patch) or not isinstance(size, int):
        return []
    per_class = int((run.settings.get("evaluation") or {}).get("grid_per_class", 0))
    classes = len(run.record["dataset"]["train"]["counts"])
    either = (places(size, per_class, classes, real=real) for real in (True, False))
    boxes = next((boxes for sheet, boxes in either if sheet == picture.size), None)
    if boxes is None:
        return []
    rows, columns = trigger.window
    scale = boxes[0][2] / size
    across, down = round(scale * (columns.stop - columns.start)), round(scale * (rows.stop - rows.start))
    return [
        (left + round(scale * columns.start), top + round(scale * rows.start), across, down)
        for left, top, _, _ in boxes
    ]


def trigger_in(run: Run) -> Trigger | None:
    """What the run's attacker pastes, or would paste if there were one; None without, or where it cannot be built."""
    settings, data = run.settings.get("attack"), run.record.get("dataset") or {}
    if not isinstance(settings, dict) or "_target_" not in settings or "image_size" not in data:
        return None
    arguments = {name: value for name, value in settings.items() if name != "_target_"}
    try:
        attack = build_trusted("attack", str(settings["_target_"]), arguments, "fedgan.attacks", run.trust)
        assert isinstance(attack, Attack)
        return trigger_of(attack, int(data["channels"]), int(data["image_size"]), int(run.settings["seed"]))
    except (ValueError, LookupError, TypeError, AttributeError, ImportError, AssertionError):
        return None


def real_images(runs: Sequence[Run], root: str | None) -> tuple[list[Gallery], list[Note]]:
    """Real test images of each data set that the runs were trained on, drawn like their sample grids.

    Args:
        runs: in which the data sets are named; of each, one finished run is opened.
        root: where the data set is now; None: where the runs found it.

    Returns:
        The galleries, and one line for each data set that cannot be read.
    """
    galleries, notes = [], []
    for name, run in _by_data(runs).items():
        if run is None:
            notes.append(Note(f"Real images of {name} are not shown: no run on them is finished."))
            continue
        try:
            splits = open_run(run.folder, root, run.trust).splits
        except (ValueError, OSError) as error:
            notes.append(Note(f"Real images of {name} are not shown: {why_not(error)}."))
            continue
        picture = draw_grid(splits.test, per_class=int(run.settings["evaluation"]["grid_per_class"]))
        uri, _ = encoded(picture)
        frame = Frame(None, uri, picture.width, picture.height, marks(run, picture))
        galleries.append(Gallery(f"Real test images of {name}", [frame]))
    return galleries, notes


def _by_data(runs: Sequence[Run]) -> dict[str, Run | None]:
    """By data set, a finished run on it."""
    found: dict[tuple[str, str], Run | None] = {}
    for run in runs:
        data = run.record.get("dataset") or {}
        if data:
            key = (str(data.get("name")), str(data.get("test", {}).get("sha256")))
            found[key] = found.get(key) or (run if run.status == "finished" else None)
    several = len({name for name, _ in found}) < len(found)
    return {f"{name} ({digest[:8]})" if several else name: run for (name, digest), run in found.items()}


def left_by_defenses(run: Run, title: str) -> list[Block]:
    """Every PNG and CSV in ``defenses/<name>/`` of the run's folder, under that name; links are not followed."""
    folder = run.folder / MAPS
    places_ = sorted(place for place in folder.iterdir() if place.is_dir()) if folder.is_dir() else []
    blocks: list[Block] = []
    for place in places_ if not folder.is_symlink() else ():
        found = [] if place.is_symlink() else sorted(filter(_is_ours, place.iterdir()), key=_order)
        blocks += [_shown(file, f"{title}: {_what(file)}") for file in found[:MOST_FILES]]
        if len(found) > MOST_FILES:
            blocks.append(Note(f"{place.name} has {len(found) - MOST_FILES} further files in {place}."))
    return blocks


def _order(file: Path) -> tuple[bool, int, str]:
    """Pictures of clients that stood out, by id, ahead of what shows all clients."""
    single = file.name.startswith(FLAGGED)
    return not single, len(file.name) * single, file.name


def _what(file: Path) -> str:
    """Such as ``what generator_audit saw of client 2``."""
    if file.name.startswith(FLAGGED) and file.suffix == ".png":
        return f"what {file.parent.name} saw of client {file.stem.removeprefix(FLAGGED)}"
    return f"{file.parent.name}, {file.name}"


def _is_ours(file: Path) -> bool:
    return file.suffix.lower() in (".png", ".csv") and file.is_file() and not file.is_symlink()


def _shown(file: Path, title: str) -> Block:
    try:
        if file.suffix.lower() == ".csv":
            table = pd.read_csv(file)
            caption = title if len(table) <= MOST_ROWS else f"{title} (the first {MOST_ROWS} of {len(table)} rows)"
            return Table(file.stem, caption, table.head(MOST_ROWS))
        picture = opened(file)
    except (*DAMAGED, pd.errors.ParserError) as error:
        return Note(f"{title} cannot be read: {why_not(error)}.")
    return Picture(title, Frame(None, encoded(picture)[0], picture.width, picture.height))
