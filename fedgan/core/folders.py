"""Folders that commands write to: what fedgan did not write there stays as it is."""

import json
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any

from annotated_types import Predicate

from fedgan.core.arguments import Allowed, PathText, validated
from fedgan.core.files import write_json

LEDGER = ".fedgan.json"  # in a folder of results: which of its files fedgan has written
_TEMPORARY = re.compile(r"\..+\.fedgan-[0-9a-f]{32}(\.\w+)?")  # see temporary_for


def fits_folder(name: str) -> bool:
    """Whether a folder can have this name: 1 to 255 bytes of UTF-8 without / and NUL, and neither . nor ..

    Example:
        >>> [fits_folder(name) for name in ("肺炎", "..", "a/b", "")]
        [True, False, False, False]
    """
    try:
        size = len(name.encode())
    except UnicodeEncodeError:  # the stand-in for a byte that is no UTF-8
        return False
    return 0 < size <= 255 and not {"/", "\0"} & set(name) and name not in (".", "..")


def _is_written_out(text: str) -> bool:
    return not text.startswith("~") and text.strip() != "None"


def _can_be_folder(folder: Path) -> bool:
    return not folder.exists() or folder.is_dir()


def _is_empty(folder: Path) -> bool:
    return not folder.exists() or (folder.is_dir() and not any(folder.iterdir()))


FolderName = Annotated[str, Predicate(fits_folder), Allowed("a name that a folder can have")]
FolderText = Annotated[
    PathText,
    Predicate(_is_written_out),
    Allowed("a folder, as an absolute or relative path (~ is not expanded)"),
]
# Paths that a command writes to; what is not there yet is one.
Folder = Annotated[Path, Predicate(_can_be_folder), Allowed("a folder")]
EmptyFolder = Annotated[Path, Predicate(_is_empty), Allowed("a new or empty folder")]


def named_folder(setting: str, text: object) -> Path:
    """A folder as it was typed.

    Raises:
        ValueError: in one line, if nothing was typed, or a ``~`` that the shell has not expanded.

    Example:
        >>> named_folder("hydra.run.dir", "~/runs")
        Traceback (most recent call last):
        ...
        ValueError: hydra.run.dir must be a folder, as an absolute or relative path (~ is not expanded); got '~/runs'
    """
    return Path(validated(setting, FolderText, text))


def check_makeable(setting: str, folder: Path) -> None:
    """Refuse a folder that cannot be made or written to, before anything is done for it.

    Raises:
        ValueError: in one line.
    """
    there = next(part for part in (folder.absolute(), *folder.absolute().parents) if os.path.lexists(part))
    if not there.is_dir():
        raise ValueError(f"{setting} must be a folder that can be made; {there} is not a folder")
    if not os.access(there, os.W_OK | os.X_OK):
        wanted = "written to" if there == folder.absolute() else "made"
        raise ValueError(f"{setting} must be a folder that can be {wanted}; you may not write to {there}")


def missing_parts(folder: Path) -> list[Path]:
    """The folder and those above it that do not exist, innermost first.

    Example:
        >>> [part.name for part in missing_parts(Path("/tmp/fedgan-no-such/a"))]
        ['a', 'fedgan-no-such']
    """
    return [part for part in (folder, *folder.parents) if not part.exists()]


def remove_empty(folders: Iterable[Path]) -> None:
    """Remove those of the folders that are empty, in this order; others stay."""
    for folder in folders:
        if folder.is_dir() and not folder.is_symlink() and not any(folder.iterdir()):
            folder.rmdir()


def check_empty(setting: str, folder: Path) -> None:
    """Refuse a folder that is not empty.

    Raises:
        ValueError: in one line.
    """
    validated(setting, EmptyFolder, folder)


def is_leftover(name: str) -> bool:
    """Whether ``temporary_for`` gives such names.

    Example:
        >>> is_leftover(".run.fedgan-0123456789abcdef0123456789abcdef.json"), is_leftover("run.json")
        (True, False)
    """
    return _TEMPORARY.fullmatch(name) is not None


def check_own(folder: Path, name: str, setting: str) -> None:
    """Refuse a folder that is not empty, unless its ledger says that fedgan has written ``name`` there.

    Args:
        folder: of results; need not exist.
        name: of the file by which a command knows its own folders.
        setting: what the error calls the folder.

    Raises:
        ValueError: in one line.
    """
    validated(setting, Folder, folder)
    inside = sorted(entry.name for entry in folder.iterdir()) if folder.is_dir() else []
    others = [name for name in inside if not name.endswith(".log") and not is_leftover(name)]
    if others and name not in _ledger(folder):
        more = " and more" if len(others) > 3 else ""
        raise ValueError(f"{setting} must be a new or empty folder; {folder} contains {', '.join(others[:3])}{more}")


def claim(folder: Path, names: Sequence[str], setting: str) -> None:
    """Note that fedgan writes these files of ``folder``, before it does; the folder is made if absent.

    Args:
        folder: of results.
        names: of files in it.
        setting: what the error calls the folder.

    Raises:
        ValueError: in one line, if one of them is there and fedgan has not written it.
    """
    written = _ledger(folder)
    foreign = [name for name in names if name not in written and (folder / name).exists()]
    if foreign:
        raise ValueError(f"{setting}: {folder} already contains files that fedgan did not write: {', '.join(foreign)}")
    folder.mkdir(parents=True, exist_ok=True)
    if not set(names) <= set(written):
        write_json(folder / LEDGER, {"written by": "fedgan", "files": sorted({*written, *names})})


def _ledger(folder: Path) -> list[str]:
    try:
        content: dict[str, Any] = json.loads((folder / LEDGER).read_text())
        return [str(name) for name in content["files"]]
    except (OSError, ValueError, LookupError, TypeError):
        return []
