"""Finding the file that a table means: by its path, else by its name, else by its name without suffix."""

import os
import re
from collections.abc import Sequence
from pathlib import Path

from fedgan.datasets.reading.classes import same_name


class Finder:
    """Image files by what a table may call them.

    Args:
        files: all below ``root``.
        root: resolved.
    """

    def __init__(self, files: Sequence[Path], root: Path) -> None:
        self.root = root
        self._by_path: dict[str, list[Path]] = {}
        self._by_name: dict[str, list[Path]] = {}
        self._by_stem: dict[str, list[Path]] = {}
        for file in files:
            path, name = same_name(self.below_root(file)), same_name(file.name)
            self._by_path.setdefault(path, []).append(file)
            self._by_name.setdefault(name, []).append(file)
            self._by_stem.setdefault(os.path.splitext(name)[0], []).append(file)

    def below_root(self, file: Path) -> str:
        """A file's path below the root, with / in it."""
        return file.relative_to(self.root).as_posix()

    def find(self, said: str) -> list[Path]:
        """The files that ``said`` may mean; one if all is well.

        Args:
            said: a path below the root or below its parent, a name, or a name without suffix or with another one;
                with / or with Windows' backslashes.
        """
        path = same_name(said.replace("\\", "/"))
        name = path.rpartition("/")[2]
        ways = (
            (self._by_path, path),
            (self._by_path, path.removeprefix(f"{self.root.name}/")),
            (self._by_name, name),
            (self._by_stem, name),
            (self._by_stem, re.sub(r"\.[A-Za-z]\w{0,7}$", "", name)),
        )
        return next((files for known, key in ways if (files := known.get(key))), [])
