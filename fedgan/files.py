"""Files that outlive a run: where the cache lies, and how to write so that nobody ever reads half a file."""

import json
import logging
import os
import re
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

_LOG = logging.getLogger(__name__)


def cache_dir(setting: str | None) -> Path:
    """The folder for what can be computed again (decoded images, trained classifiers); it need not exist yet.

    Args:
        setting: the folder asked for; None for ``$XDG_CACHE_HOME/fedgan``, or ``~/.cache/fedgan`` where
            that variable is unset, empty or relative (XDG Base Directory Specification 0.8).
    """
    if setting is not None:
        return Path(setting).expanduser()
    base = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return (base if base.is_absolute() else Path.home() / ".cache") / "fedgan"


def atomic_write(path: Path, write: Callable[[Path], None]) -> None:
    """Have ``write`` fill a temporary file beside ``path``, then put it there in one step.

    A reader sees the old file or the whole new one, also after a crash; if ``write`` raises, ``path`` is
    as it was and the temporary file is gone.

    Args:
        path: where the file shall be; its folder must exist.
        write: is given the temporary path (same suffix as ``path``) and writes it.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> atomic_write(folder / "a.txt", lambda temporary: temporary.write_text("whole") and None)
        >>> [file.name for file in folder.iterdir()], (folder / "a.txt").read_text()
        (['a.txt'], 'whole')
    """
    # The same folder, because os.replace is atomic only within one file system; an unguessable name, because
    # other processes may be writing the same file.
    temporary = path.with_name(f".{path.stem}.{uuid.uuid4().hex}{path.suffix}")
    try:
        write(temporary)
        _flush(temporary)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write JSON for people (sorted as given, indented), whole or not at all."""
    text = json.dumps(content, indent=2, allow_nan=False, default=str) + "\n"

    def write(file: Path) -> None:
        file.write_text(text)

    atomic_write(path, write)


def clear_leftovers(folder: Path) -> None:
    """Remove the temporary files that processes killed within ``atomic_write`` have left anywhere in ``folder``."""
    for file in folder.rglob(".*"):
        if re.fullmatch(r"\..+\.[0-9a-f]{32}(\.\w+)?", file.name) and file.is_file():
            file.unlink()


def _flush(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def keep(path: Path, write: Callable[[Path], None]) -> None:
    """``atomic_write`` into a cache, whose folder is made: a full or read-only disk is a warning, not a failure."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic_write(path, write)
    except (OSError, SafetensorError) as error:
        _LOG.warning("cannot keep %s in %s: %s", path.name, path.parent, " ".join(str(error).split()))
