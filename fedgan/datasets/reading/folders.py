"""Folders that say what their images are: root/<class>/, or root/<split>/<class>/."""

import os
from pathlib import Path

from fedgan.core.words import counted_reason
from fedgan.datasets.reading.classes import Members, choose, same_name
from fedgan.datasets.reading.listing import DRAWN, SPLITS, Entry, Listing, split_named
from fedgan.datasets.reading.suspicions import (
    Folders,
    note_parts,
    note_same_inside,
    note_split_as_root,
    note_table,
    refuse_deeper_set,
    refuse_sole_wrapper,
)
from fedgan.datasets.reading.walk import SUFFIXES, Walk, is_visible_folder


def list_folders(root: Path, wanted: Members | None) -> Listing:
    """The images below the classes' folders.

    Args:
        root: resolved.
        wanted: ``dataset.classes``; None: all folders.

    Raises:
        ValueError: in one line, if the folders are not laid out so, or are most likely no classes.
    """
    splits = split_folders(root)
    folders = {split: class_folders(folder) for split, folder in splits.items()}
    classes = _choose_folders(splits, folders, wanted)
    walk, flat = Walk(root), DRAWN in splits
    entries = [
        Entry(file, label, split)
        for split, folder in splits.items()
        for label, names in enumerate(classes.values())
        for file in _class_images(walk, split, [folders[split].get(name, folder / name) for name in names])
    ]
    refuse_deeper_set(walk.inner)
    if wanted is None:
        refuse_sole_wrapper(folders, walk.inner, entries)
    _count_others(walk, splits, folders, classes)
    notes = [
        *note_split_as_root(root, flat),
        *note_parts(classes),
        *note_same_inside(folders, walk.inner, entries),
        *note_table(root, entries, flat, named=wanted is not None),
    ]
    return Listing(entries, tuple(classes), walk.left_out, notes)


def split_folders(root: Path) -> dict[str, Path]:
    """The splits' folders by split, in any spelling, or the root itself as ``DRAWN``.

    Raises:
        ValueError: if two spell one split, or if train or test is missing.
    """
    named: dict[str, list[Path]] = {}
    for path in _visible_folders(root):
        if split := split_named(path.name):
            named.setdefault(split, []).append(path)
    twice = next(([path.name for path in paths] for paths in named.values() if len(paths) > 1), None)
    if twice:
        raise ValueError(f"dataset.root must hold one folder for each split; {str(root)!r} has {twice}")
    if named and not {"train", "test"} <= named.keys():
        there = [named[split][0].name for split in SPLITS if split in named]
        raise ValueError(
            f"dataset.root must have both train/ and test/, or no folder of a split; {str(root)!r} has {there}: "
            f"add what is missing, or move {there} elsewhere"
        )
    return {split: named[split][0] for split in SPLITS if split in named} or {DRAWN: root}


def class_folders(folder: Path) -> dict[str, Path]:
    """The folders in one, by name.

    Raises:
        ValueError: if one is named like a split, or if two names differ in their Unicode form alone.
    """
    found: dict[str, Path] = {}
    for path in _visible_folders(folder):
        if split_named(path.name):
            raise ValueError(
                f"dataset.root: {str(path)!r} is named like a split and lies where classes do; rename it or move it up"
            )
        other = found.setdefault(same_name(path.name), path)
        if other != path:
            both = f"{other.name!a} and {path.name!a}"
            raise ValueError(f"dataset.root: two folders in {str(folder)!r} have one name in two spellings, {both}")
    return found


def _choose_folders(splits: dict[str, Path], folders: Folders, wanted: Members | None) -> Members:
    """The classes and the folders that make each; their names must be UTF-8, or nothing could write them."""
    found = {name for inside in folders.values() for name in inside}
    places = " or ".join(repr(str(folder)) for folder in splits.values())
    if not found:
        raise ValueError(f"dataset.root must hold one folder per class; there is none in {places}")
    asked = {name for names in (wanted or {}).values() for name in names}
    if asked - found:
        refuse_deeper_set(
            (path for inside in folders.values() for folder in inside.values() for path in _visible_folders(folder)),
            asked,
        )
    classes = choose(found, wanted, f"the folders in {places}")
    for name in (name for names in classes.values() for name in names):
        try:
            name.encode()
        except UnicodeEncodeError as error:
            raise ValueError(f"dataset.root: the name of the folder {os.fsencode(name)!r} is not UTF-8") from error
    return classes


def _class_images(walk: Walk, split: str, folders: list[Path]) -> list[Path]:
    """The images of one class in one split; there must be some, but in val."""
    before = walk.left_out.copy()
    files = [file for folder in sorted(folders) if folder.is_dir() for file in walk.images(folder)]
    if files or split == "val":
        return files
    names = " or ".join(repr(str(folder)) for folder in folders)
    passed = "".join(f"; it has {counted_reason(count, reason)}" for reason, count in (walk.left_out - before).items())
    raise ValueError(
        f"dataset.root: the class folder {names} holds no images ({' '.join(sorted(SUFFIXES))}; links that lead "
        f"outside dataset.root are not followed){passed}"
    )


def _count_others(walk: Walk, splits: dict[str, Path], folders: Folders, classes: Members) -> None:
    """Count the images that lie in no folder of a class that is read."""
    if DRAWN not in splits:
        walk.surroundings(next(iter(splits.values())).parent, splits.values())
    read = {name for names in classes.values() for name in names}
    for split, folder in splits.items():
        walk.surroundings(folder, folders[split].values())
        for name in folders[split].keys() - read:
            walk.pass_over(folders[split][name], "of other classes")


def _visible_folders(folder: Path) -> list[Path]:
    return sorted(folder / entry.name for entry in os.scandir(folder) if is_visible_folder(entry))
