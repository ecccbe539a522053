"""Clients' states in files, of which checkpoints keep no copy."""

import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from fedgan.core.checks import check
from fedgan.core.tensor_files import read_checkpoint, write_checkpoint

CLIENTS = "clients"  # within the checkpoints' folder
_CLIENT = re.compile(r"client_(\d+)_round_(\d+)\.ckpt")


class ClientFiles:
    """The states of clients that have taken part, one file each time that one has changed.

    A file is never written over, so that a checkpoint and the files that it refers to stay what they are.

    Args:
        folder: of these files alone; made when the first is written.
        only: a client; files of others, which another process may keep in the same folder, are left alone. None: all.
    """

    def __init__(self, folder: Path, only: int | None = None) -> None:
        self.folder, self.only = folder, only
        self._newest: dict[int, int] = {}

    def write(self, client_id: int, round_: int, snapshot: dict[str, Any]) -> None:
        """Keep a client's state as it is after ``round_``.

        Raises:
            OSError: if the disk is full or cannot be written to.
        """
        write_checkpoint(snapshot, self._file(client_id, round_))
        self._newest[client_id] = round_

    def read(self, client_id: int) -> dict[str, Any] | None:
        """A client's newest state, on the CPU; None before it has taken part.

        Raises:
            ValueError: in one line, if its file is damaged.
        """
        if client_id not in self._newest:
            return None
        return read_checkpoint(self._file(client_id, self._newest[client_id]))

    def index(self, round_: int) -> dict[int, int]:
        """By id, after which round each client's state of ``round_`` was written, whichever process wrote it."""
        found: dict[int, int] = {}
        for client_id, written in self._written():
            if written <= round_:
                found[client_id] = max(written, found.get(client_id, 0))
        return found

    def rewind(self, rounds: Mapping[int, int]) -> None:
        """Take these states for the newest; the files of later ones are removed, or they would be taken for it.

        Raises:
            ValueError: in one line, if one of their files is missing.
        """
        for client_id, round_ in rounds.items():
            file = self._file(client_id, round_)
            check(file.is_file(), f"resume: {file}", "there: the checkpoint refers to it", "no such file")
        for client_id, round_ in self._written():
            if round_ > rounds.get(client_id, -1):
                self._file(client_id, round_).unlink(missing_ok=True)
        self._newest = dict(rounds)

    def prune(self, checkpoints: Collection[int]) -> None:
        """Remove the files that none of these checkpoints (by the rounds after which they were written) refers to."""
        needed = {item for round_ in checkpoints for item in self.index(round_).items()}
        for client_id, round_ in self._written():
            if (client_id, round_) not in needed:
                self._file(client_id, round_).unlink(missing_ok=True)

    def _written(self) -> list[tuple[int, int]]:
        names = (_CLIENT.fullmatch(file.name) for file in self.folder.glob("client_*"))
        written = [(int(name[1]), int(name[2])) for name in names if name]
        return [item for item in written if self.only in (None, item[0])]

    def _file(self, client_id: int, round_: int) -> Path:
        return self.folder / f"client_{client_id:04d}_round_{round_:04d}.ckpt"
