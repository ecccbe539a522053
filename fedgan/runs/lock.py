"""One process at a time in a run's folder."""

import errno
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

NAME = ".lock"
# What file systems without locks answer (some network file systems); NotImplementedError: older versions of filelock.
_NO_LOCKS = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS)


class FolderLock:
    """Keeps other processes out of a folder; the system releases it when the process ends, however it ends.

    Args:
        folder: need not exist.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = FileLock(folder / NAME, timeout=0)

    def take(self) -> None:
        """Make the folder and take it, if this has not been done; without locks, warn that nothing keeps others out.

        Raises:
            ValueError: in one line, if another process works in it.
            OSError: if it cannot be made or written to.
        """
        if self._lock.is_locked:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            self._lock.acquire()
        except Timeout as taken:
            allowed = "a folder that no other process works in"
            raise ValueError(f"hydra.run.dir or resume must be {allowed}; got {self.folder}") from taken
        except (OSError, NotImplementedError) as error:
            if isinstance(error, OSError) and error.errno not in _NO_LOCKS:
                raise
            print(
                f"warning: no file can be locked in {self.folder} ({error}): start no second process in it",
                file=sys.stderr,
            )

    def release(self) -> None:
        """Let others in."""
        self._lock.release()


@contextmanager
def exclusive(folder: Path) -> Iterator[FolderLock]:
    """A folder for this process alone from ``take`` on; from the start, if a process has worked in it before.

    Raises:
        ValueError: in one line, if another process works in it.
    """
    lock = FolderLock(folder)
    if (folder / NAME).is_file():
        lock.take()
    try:
        yield lock
    finally:
        lock.release()
