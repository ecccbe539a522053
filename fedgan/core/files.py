"""Files that outlive a run: where the cache is, and how to write so that nobody ever reads half a file."""

import csv
import errno
import json
import logging
import os
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

_LOG = logging.getLogger(__name__)


def cache_dir(setting: str | None) -> Path | None:
    """The folder for what can be computed again (decoded images, trained classifiers); it need not exist yet.

    Args:
        setting: the folder that was set; None for ``$XDG_CACHE_HOME/fedgan``, or ``~/.cache/fedgan`` where
            that variable is unset, empty or relative (XDG Base Directory Specification 0.8).

    Returns:
        None where this user has no home folder (in some containers): nothing is cached, with one warning.
    """
    if setting is not None:
        return Path(setting).expanduser()
    base = Path(os.environ.get("XDG_CACHE_HOME", ""))
    folder = base if base.is_absolute() else _home_cache()
    return None if folder is None else folder / "fedgan"


def _home_cache() -> Path | None:
    try:
        return Path.home() / ".cache"
    except RuntimeError:
        _warn_of_no_home()
        return None


@cache
def _warn_of_no_home() -> None:
    _LOG.warning("this user has no home folder: nothing is cached; XDG_CACHE_HOME=PATH names a folder for it")


def atomic_write(path: Path, write: Callable[[Path], None]) -> None:
    """Have ``write`` fill a temporary file next to ``path``, then put it there in one step.

    A reader sees the old file or the whole new one, also after a crash; if ``write`` raises, ``path`` is
    as it was and the temporary file is gone.

    Args:
        path: where the file shall be; its folder must exist.
        write: is given the temporary path (same suffix as ``path``) and writes it. Whatever mode it gives the file,
            others may read it as the process's umask says.

    Raises:
        OSError: naming ``path``, if it cannot be written: a full disk, a quota, no permission.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> atomic_write(folder / "a.txt", lambda temporary: temporary.write_text("whole") and None)
        >>> [file.name for file in folder.iterdir()], (folder / "a.txt").read_text()
        (['a.txt'], 'whole')
    """
    temporary = temporary_for(path)
    try:
        temporary.touch()
        mode = temporary.stat().st_mode  # 666 & ~umask; safetensors, for one, gives its files 600
        write(temporary)
        temporary.chmod(mode)
        _flush(temporary)
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise placed(error, path) from error
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_table(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """Write a CSV file, whole or not at all: a line with the columns, then one for each row.

    Raises:
        OSError: see ``atomic_write``.
        ValueError: if a row has a value for another column.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp()) / "a.csv"
        >>> write_table(file, ["round", "loss"], [{"round": 0, "loss": 0.5}])
        >>> file.read_text()
        'round,loss\\n0,0.5\\n'
    """

    def write(temporary: Path) -> None:
        with temporary.open("w", newline="") as stream:
            writer = csv.DictWriter(stream, columns, lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)

    atomic_write(path, write)


def temporary_for(path: Path) -> Path:
    """Where to write what ends up at ``path``; what a killed process leaves has such a name.

    In the same folder, because os.replace is atomic only within one file system; unguessable, because other processes
    may be writing the same file; with a mark that nobody's own files have.

    Example:
        >>> temporary_for(Path("run/rounds.csv")).name[:15]
        '.rounds.fedgan-'
    """
    return path.with_name(f".{path.stem}.fedgan-{uuid.uuid4().hex}{path.suffix}")


def placed(error: OSError, path: Path) -> OSError:
    """The error with the name of the file that the user knows; some of the system's have none.

    Example:
        >>> print(placed(OSError(28, "No space left on device"), Path("run/rounds.csv")))
        [Errno 28] No space left on device: 'run/rounds.csv'
    """
    return error if error.errno is None else type(error)(error.errno, error.strerror, str(path))


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write JSON for people (sorted as given, indented), whole or not at all."""
    text = json.dumps(content, indent=2, allow_nan=False, default=str) + "\n"

    def write(file: Path) -> None:
        file.write_text(text)

    atomic_write(path, write)


def write_json_in_place(path: Path, content: Mapping[str, Any]) -> None:
    """``write_json``, also on a full disk: then over the old content, which has its blocks already."""
    try:
        write_json(path, content)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT) or not path.is_file():
            raise
        text = json.dumps(content, indent=2, allow_nan=False, default=str) + "\n"
        with path.open("r+") as file:
            file.write(text)
            file.truncate()


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
