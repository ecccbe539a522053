"""What is read, before any file is decoded: each image's file, class, split and group."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

SPLITS = ("train", "val", "test")
DRAWN = "all"  # in place of a split where there are none: the test images will be drawn

_SPELLINGS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
}


class Entry(NamedTuple):
    """One image.

    Attributes:
        file: where it is.
        label: its class, counted from 0.
        split: one of ``SPLITS``, or ``DRAWN``.
        group: its patient or lesion, if that is known.
        hospital: where it was taken, if that is known.
    """

    file: Path
    label: int
    split: str
    group: str | None = None
    hospital: str | None = None


@dataclass(frozen=True)
class Listing:
    """A data set's images.

    Attributes:
        entries: by split, then by label, then by path.
        classes: the names, in the order of the labels.
        left_out: how many files or rows are not among them, by the reason.
        notes: what the user should know of it; a sentence each.
    """

    entries: list[Entry]
    classes: tuple[str, ...]
    left_out: Counter[str]
    notes: list[str]


def split_named(name: str) -> str | None:
    """The split that a name spells, in any case; None if it spells none.

    Example:
        >>> [split_named(name) for name in ("Training", "valid", "TEST", "tests")]
        ['train', 'val', 'test', None]
    """
    return _SPELLINGS.get(name.casefold())


def in_order(entries: Iterable[Entry]) -> list[Entry]:
    """By split, then by label, then by path."""
    places = {split: place for place, split in enumerate((*SPLITS, DRAWN))}
    return sorted(entries, key=lambda entry: (places[entry.split], entry.label, entry.file.parts))
