"""One process at a time in a run's folder."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

NAME = ".lock"


@contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """Hold the folder, which is made if absent; the system lets go of it when the process ends, however it ends.

    Raises:
        ValueError: in one line, if another process holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / NAME, timeout=0)
    try:
        lock.acquire()
    except Timeout as taken:
        raise ValueError(
            f"hydra.run.dir or resume must be a folder that no other process works in; got {folder}"
        ) from taken
    try:
        yield
    finally:
        lock.release()
