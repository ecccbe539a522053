"""Folders that look like classes and perhaps are none: refused where that is likely, else noted."""

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

from fedgan.datasets.reading.classes import listed, same_name
from fedgan.datasets.reading.columns import usual_column
from fedgan.datasets.reading.finder import Finder
from fedgan.datasets.reading.listing import DRAWN, Entry, split_named
from fedgan.datasets.reading.table import Table, read_columns, read_table

_MAX_UNASKED = 2**24  # bytes of a CSV file that is read although nobody named it; takes half a second
Folders = Mapping[str, Mapping[str, Path]]  # class folders by split, then by name


def refuse_deeper_set(inner: Iterable[Path], names: Collection[str] = ()) -> None:
    """Refuse folders of splits, or with the classes' names, below a class folder: the data set lies deeper.

    Args:
        inner: folders below the class folders.
        names: of the classes that are looked for.
    """
    found = [path for path in inner if split_named(path.name) or same_name(path.name) in names]
    if not found:
        return
    above = min(len(path.parts) for path in found)  # a zip file in a zip file holds the set twice
    holders = sorted({path.parent for path in found if len(path.parts) == above})
    inside = sorted(path.name for path in found if path.parent == holders[0])
    remedy = f"if it is the data set, set dataset.root={holders[0]}"
    if len(holders) > 1:
        remedy += f"; if {holders[1].name!r} is another class, move {inside} above the classes"
    raise ValueError(f"dataset.root: {str(holders[0])!r} holds {inside}, which are no part of a class; {remedy}")


def refuse_sole_wrapper(folders: Folders, inner: Collection[Path], entries: Iterable[Entry]) -> None:
    """Refuse a sole class that holds folders and no image of its own: most likely these are the classes.

    One class with a folder for each patient looks the same, so ``dataset.classes`` may say that it is one.
    """
    alone = [path for inside in folders.values() for path in inside.values()]
    one = len({same_name(path.name) for path in alone}) == 1
    if not one or not inner or any(entry.file.parent in alone for entry in entries):
        return
    folder, names = alone[0], _names_inside(inner)[alone[0]]
    remedy = f"set dataset.root={folder}" if list(folders) == [DRAWN] else f"move them up, out of {folder.name}/"
    raise ValueError(
        f"dataset.root: the only class folder, {str(folder)!r}, holds nothing but folders, {listed(names)}; "
        f"if these are the classes, {remedy}; if it is a class, set dataset.classes=[{folder.name}]"
    )


def note_same_inside(folders: Folders, inner: Collection[Path], entries: Iterable[Entry]) -> list[str]:
    """Where all class folders hold the same folders and no image of their own: hospitals, perhaps, with the classes."""
    names_in, read = _names_inside(inner), [path for inside in folders.values() for path in inside.values()]
    names = names_in[read[0]]
    if len(read) < 2 or len(names) < 2 or any(names_in[path] != names for path in read):
        return []
    if any(entry.file.parent in read for entry in entries):
        return []
    return [f"all class folders hold the same folders, {listed(names)}: perhaps these are the classes"]


def _names_inside(inner: Iterable[Path]) -> defaultdict[Path, set[str]]:
    names = defaultdict[Path, set[str]](set)
    for path in inner:
        names[path.parent].add(path.name)
    return names


def note_split_as_root(root: Path, flat: bool) -> list[str]:
    """Where the root is itself one of two splits, and the other was perhaps overlooked."""
    own = split_named(root.name)
    if own is None or not flat:
        return []
    try:
        splits = sorted(path for path in root.parent.iterdir() if split_named(path.name) not in (None, own))
    except OSError:  # a folder that this user may pass through and not list
        return []
    others = [f"{path.name}/" for path in splits if path.is_dir()]
    if not others:
        return []
    return [
        f"dataset.root is {root.name}/, one split of {root.parent}, and the test images were drawn from it; "
        f"dataset.root={root.parent} reads {' and '.join(others)} too"
    ]


def note_parts(names: Collection[str]) -> list[str]:
    """Where all classes are named like the parts of an archive or of a cross-validation."""
    parts = [name for name in names if re.search(r"(part|fold|batch|chunk)[ _-]*\d+$", name, re.IGNORECASE)]
    if len(parts) < max(2, len(names)):
        return []
    return [f"the folders {listed(parts)} were read as classes, and are named like parts of one set"]


def note_table(root: Path, entries: Sequence[Entry], flat: bool, named: bool) -> list[str]:
    """What the CSV files at the top of the root say of these images.

    Args:
        root: resolved.
        entries: the images.
        flat: whether the class folders lie in the root itself.
        named: whether ``dataset.classes`` names the folders.

    Raises:
        ValueError: if one lists most images and most often without their folders' names, so that the folders of a
            flat root are no classes (unless they are named).
    """
    notes, finder = [], None
    for path in sorted(path for path in root.iterdir() if path.suffix.lower() == ".csv"):
        table = _table_of_files(path, root)
        if table is None:
            continue
        finder = finder or Finder([entry.file for entry in entries], root)
        found, agreeing = _compare(table, finder, depth=0 if flat else 1)
        if 2 * found <= len(entries):
            continue
        if flat and not named and 2 * agreeing < found:
            folders = {finder.below_root(entry.file).partition("/")[0] for entry in entries}
            raise ValueError(
                f"dataset.root: {path.name} lists these images, but not with the names of their folders "
                f"{listed(folders)}; set dataset.labels={path.name}, or dataset.classes={sorted(folders)} if these are "
                f"the classes"
            )
        columns = ", ".join(table.columns[:12])
        notes.append(f"{path.name} lists these images ({columns}); dataset.labels={path.name} reads classes from it")
    return notes


def _table_of_files(path: Path, root: Path) -> Table | None:
    """The table, if it is not too large, can be read and has a column with a usual name for files."""
    if not path.is_file() or not path.resolve().is_relative_to(root) or path.stat().st_size > _MAX_UNASKED:
        return None
    try:
        return read_table(path) if usual_column("file", read_columns(path)) else None
    except ValueError:
        return None


def _compare(table: Table, finder: Finder, depth: int) -> tuple[int, int]:
    """How many images the table lists, and of how many it says the folder's name: in a cell, or by a 1 under it."""
    place = table.columns.index(str(usual_column("file", table.columns)))
    said: dict[Path, set[str]] = {}
    for cells in table.rows:
        files = finder.find(cells[place])
        hot = [name for name, cell in zip(table.columns, cells, strict=True) if cell in ("1", "1.0")]
        words = {same_name(word).casefold() for word in (*cells[:place], *cells[place + 1 :], *hot)}
        for file in files:
            said.setdefault(file, set()).update(words)
    folders = {file: same_name(finder.below_root(file).split("/")[depth]).casefold() for file in said}
    return len(said), sum(folders[file] in words for file, words in said.items())
