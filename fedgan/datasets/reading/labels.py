"""Labels from a CSV file: which row is which image's, and what it says of it."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, NamedTuple

from fedgan.core.arguments import Allowed, validated
from fedgan.core.folders import FolderName
from fedgan.core.words import counted
from fedgan.datasets.reading.classes import Members, choose, listed, same_name
from fedgan.datasets.reading.columns import Columns, describe_columns, find_columns
from fedgan.datasets.reading.finder import Finder
from fedgan.datasets.reading.listing import DRAWN, Entry, Listing, in_order, split_named
from fedgan.datasets.reading.table import Table, read_table
from fedgan.datasets.reading.walk import Walk

ClassOfRows = Annotated[
    FolderName, Allowed("a name that a folder can have (a mapping in dataset.classes gives it one)")
]


class Row(NamedTuple):
    """What a row says of its image; ``name`` is the class, empty where there is none."""

    name: str
    split: str
    group: str | None
    hospital: str | None


def list_labels(root: Path, labels: Path, columns: Mapping[str, object], wanted: Members | None) -> Listing:
    """The images below ``root`` that have a row.

    Args:
        root: resolved.
        labels: the CSV file.
        columns: as ``columns_by_role`` returns it.
        wanted: ``dataset.classes``; None: all that there are, sorted by name.

    Raises:
        ValueError: in one line, if the file is no such table, or its rows do not fit the images.
    """
    table = read_table(labels)
    found = find_columns(table.columns, columns, labels.name)
    walk = Walk(root, ignored=labels.resolve())
    files = walk.images(root)
    rows, unused = match(table, found, Finder(files, root))
    classes = choose({row.name for row in rows.values() if row.name}, wanted, f"the classes in {labels.name}")
    for name in classes:
        validated(f"dataset.labels: a class in {labels.name}", ClassOfRows, name)
    label_of = {name: label for label, names in enumerate(classes.values()) for name in names}
    entries = in_order(Entry(file, label_of[row.name], *row[1:]) for file, row in rows.items() if row.name in label_of)
    _check_splits(entries, tuple(classes), labels.name)
    unused[f"without a row in {labels.name}"] = len(files) - len(rows)
    unused["rows without a class"] = sum(not row.name for row in rows.values())
    unused["of other classes"] = len(rows) - len(entries) - unused["rows without a class"]
    return Listing(entries, tuple(classes), walk.left_out + unused, [f"{labels.name}: {describe_columns(found)}"])


def match(table: Table, columns: Columns, finder: Finder) -> tuple[dict[Path, Row], Counter[str]]:
    """Each image's row, and how many rows were not used, by the reason.

    Raises:
        ValueError: if a row fits two images, if two rows say different things of one, or if no row fits any.
    """
    name, place = table.file.name, table.columns.index(columns["file"][0])
    rows, unused = dict[Path, Row](), Counter[str]()
    for cells, line in zip(table.rows, table.lines, strict=True):
        files = finder.find(cells[place])
        if len(files) > 1:
            both = " and ".join(repr(finder.below_root(file)) for file in files[:2])
            raise ValueError(f"dataset.labels: line {line} of {name}, {cells[place]!r}, fits both {both}")
        if not files:
            unused["rows without a file"] += 1
            continue
        row = read_row(table, cells, line, columns)
        earlier = rows.setdefault(files[0], row)
        if earlier != row:
            raise ValueError(f"dataset.labels: line {line} of {name}, {cells[place]!r}, contradicts an earlier line")
        unused["rows that repeat another"] += earlier is not row
    if not rows:
        first = f"; the first is {table.rows[0][place]!r}" if table.rows else ""
        rows_there = counted(len(table.rows), "row")
        raise ValueError(f"dataset.labels: {name} has {rows_there}, and none names an image below the root{first}")
    return rows, +unused


def read_row(table: Table, cells: Sequence[str], line: int, columns: Columns) -> Row:
    """What a row says.

    Raises:
        ValueError: in one line, if its split is none, or if not one of several class columns has a 1.
    """
    said = {role: [cells[table.columns.index(name)] for name in names] for role, names in columns.items()}
    name = said["class"][0] if len(said["class"]) == 1 else _hot(said["class"], columns["class"], table, line)
    split = split_named(said["split"][0]) if said["split"] else DRAWN
    if split is None:
        place = f"in line {line} of {table.file.name}"
        allowed = f"a column of train, val and test, or false; {place} it has {said['split'][0]!r}"
        raise ValueError(f"dataset.columns.split must be {allowed}")
    group, hospital = (said[role][0] or None if said[role] else None for role in ("group", "hospital"))
    return Row(same_name(name), split, group, hospital)


def _hot(cells: Sequence[str], names: Sequence[str], table: Table, line: int) -> str:
    """The column whose cell is 1 where all others are 0; empty if all are 0."""
    numbers = [_number(cell) for cell in cells]
    fine = all(number in (0, 1) for number in numbers) and sum(number == 1 for number in numbers) <= 1
    allowed = f"columns with a 1 in one of them and 0 in the others; line {line} of {table.file.name} has"
    if not fine:
        raise ValueError(f"dataset.columns.class must be {allowed} {', '.join(cells)}")
    return names[numbers.index(1)] if 1 in numbers else ""


def _number(cell: str) -> float | None:
    try:
        return float(cell)
    except ValueError:
        return None


def _check_splits(entries: Sequence[Entry], classes: Sequence[str], name: str) -> None:
    """Refuse splits of which one is missing, or lacks a class; val may."""
    counts = Counter((entry.split, entry.label) for entry in entries)
    if all(split == DRAWN for split, _ in counts):
        return
    for split in ("train", "test"):
        empty = [own for label, own in enumerate(classes) if not counts[split, label]]
        if empty:
            remedy = "dataset.columns.split=false draws the test images"
            raise ValueError(f"dataset.labels: {name} has no {split} images of {listed(empty)}; {remedy}")
