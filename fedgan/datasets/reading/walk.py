"""Which files below a folder are images, and what is passed over on the way."""

import os
import re
from collections import Counter
from collections.abc import Collection, Iterator
from pathlib import Path

# All of them hold a format that is decoded; .jfif and .jpe are JPEG, as Windows saves it from a browser.
SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".tif", ".tiff", ".webp", ".gif"})

# Zip files from macOS, Synology's thumbnails, Windows' bin and index: copies and forks, never a user's images.
_SYSTEM_FOLDERS = frozenset({"__MACOSX", "@eaDir", "$RECYCLE.BIN", "System Volume Information"})
_OUTSIDE = "links that lead outside dataset.root"
_SYSTEM_FILES = frozenset({"thumbs.db", "desktop.ini"})  # in so many folders that nobody wants them counted


class Walk:
    """Finds image files and counts, by the reason, those that it passes over.

    Hidden files, system folders, links that lead out of ``root`` or to folders, and files that are no images by suffix
    are passed over. What nobody expects to be read is not counted: ``.DS_Store``, ``Thumbs.db`` and their like.

    Args:
        root: resolved; no file outside of it is read.
        ignored: a file that is no image and is not counted either.

    Attributes:
        left_out: how many files were passed over, by the reason.
        inner: every folder below those that were walked.
    """

    def __init__(self, root: Path, ignored: Path | None = None) -> None:
        self.root, self.ignored = root, ignored
        self.left_out = Counter[str]()
        self.inner: list[Path] = []

    def images(self, folder: Path) -> list[Path]:
        """The image files anywhere below a folder, sorted by path."""
        return sorted(self._images(folder), key=lambda file: file.parts)

    def surroundings(self, folder: Path, read: Collection[Path]) -> None:
        """Count the images in a folder but not in those of its sub-folders that are ``read``."""
        for entry in os.scandir(folder):
            path = folder / entry.name
            if _is_system(entry.name):
                self._pass_over_system(path)
            elif not entry.is_dir():
                self._count("outside of the class folders", is_image(entry.name))
            elif path not in read:
                self.pass_over(path, "outside of the class folders")

    def pass_over(self, folder: Path, reason: str, images_only: bool = True) -> None:
        """Count a folder's files as left out; one that lies outside of the root is not looked into."""
        if not folder.resolve().is_relative_to(self.root):
            self._count(_OUTSIDE, 1)
            return
        names = (name for _, _, files in os.walk(folder) for name in files)
        self._count(reason, sum(is_image(name) or not images_only for name in names))

    def _images(self, folder: Path) -> Iterator[Path]:
        if not folder.resolve().is_relative_to(self.root):
            self._count(_OUTSIDE, 1)
            return
        for entry in os.scandir(folder):
            path = folder / entry.name
            if _is_system(entry.name):
                self._pass_over_system(path)
            elif entry.is_dir(follow_symlinks=False):
                self.inner.append(path)
                yield from self._images(path)
            elif (reason := self._reason(entry, path)) is None:
                yield path
            elif path != self.ignored and entry.name.lower() not in _SYSTEM_FILES:
                self._count(reason, 1)

    def _reason(self, entry: os.DirEntry[str], path: Path) -> str | None:
        """Why a file is not read; None if it is."""
        if is_image(entry.name) and entry.is_file(follow_symlinks=False):
            return None
        if entry.is_symlink():
            if not path.exists():
                return "broken links"
            if not path.resolve().is_relative_to(self.root):
                return _OUTSIDE
            if path.is_dir():
                return "links to folders"
        if not is_image(entry.name):
            return suffix_reason(entry.name)
        return None if entry.is_file() else "neither a file nor a folder"

    def _pass_over_system(self, path: Path) -> None:
        if path.name in _SYSTEM_FOLDERS:
            self.pass_over(path, f"in {path.name}/", images_only=False)
        elif path.is_dir():
            self.pass_over(path, "hidden")
        else:  # ._x.png is a fork that macOS makes
            self._count("hidden", is_image(path.name) and not path.name.startswith("._"))

    def _count(self, reason: str, count: int) -> None:
        if count:
            self.left_out[reason] += count


def is_image(name: str) -> bool:
    """Whether a file of this name is read, going by its suffix."""
    return name[name.rfind(".") :].lower() in SUFFIXES


def is_visible_folder(entry: os.DirEntry[str]) -> bool:
    """Whether an entry is a folder, or leads to one, that a user may mean."""
    return entry.is_dir() and not _is_system(entry.name)


def suffix_reason(name: str) -> str:
    """What is said of a file that is no image by its suffix.

    Example:
        >>> suffix_reason("scan.DCM"), suffix_reason("1.2.840.55")
        ('with suffix .dcm', 'without a suffix')
    """
    suffix = os.path.splitext(name)[1].lower()
    return f"with suffix {suffix}" if re.fullmatch(r"\.[a-z][a-z0-9]{0,7}", suffix) else "without a suffix"


def _is_system(name: str) -> bool:
    return name.startswith(".") or name in _SYSTEM_FOLDERS
