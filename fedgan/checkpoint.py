"""Checkpoints that are whole or not there, and that execute nothing when they are read."""

import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning.plugins.io import TorchCheckpointIO

from fedgan.checks import check
from fedgan.files import atomic_write

FOLDER = "checkpoints"
CLIENTS = "clients"  # within it
PATTERN = "round_*.ckpt"
HERE = "(this folder)"  # in place of a checkpoint's own folder
_CLIENT = re.compile(r"client_(\d+)_round_(\d+)\.ckpt")


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes to a temporary file, flushes it to the disk and renames it; reads tensors and plain values only."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Write ``checkpoint`` whole, or leave what was there; paths in it are relative, so that the folder may move.

        Raises:
            OSError: if the disk is full or cannot be written to.
        """
        callbacks = moved(checkpoint.get("callbacks", {}), str(Path(path).parent), HERE)
        write_checkpoint(checkpoint | {"callbacks": callbacks}, Path(path))

    def load_checkpoint(self, path: Any, map_location: Any = "cpu", weights_only: bool | None = None) -> dict[str, Any]:
        """Read a checkpoint, whatever it holds, without executing any of it.

        Raises:
            ValueError: in one line, if it is damaged or wants to execute something.
        """
        checkpoint = read_checkpoint(Path(path))
        return checkpoint | {"callbacks": moved(checkpoint.get("callbacks", {}), HERE, str(Path(path).parent))}

    def remove_checkpoint(self, path: Any) -> None:
        """Remove a checkpoint, and the clients' states that no other one refers to."""
        super().remove_checkpoint(path)
        folder = Path(path).parent
        ClientFiles(folder / CLIENTS).prune([rounds_done(file) - 1 for file in folder.glob(PATTERN)])


def moved(state: Any, before: str, now: str) -> Any:
    """Plain values with the paths in a folder changed to those in another.

    Example:
        >>> moved({"best": "/a/b/round_0001.ckpt", "of": ["/a/b"]}, "/a/b", "/c")
        {'best': '/c/round_0001.ckpt', 'of': ['/c']}
    """
    if isinstance(state, Mapping):
        return {moved(key, before, now): moved(value, before, now) for key, value in state.items()}
    if isinstance(state, list):
        return [moved(value, before, now) for value in state]
    if isinstance(state, str) and (state == before or state.startswith(f"{before}/")):
        return now + state.removeprefix(before)
    return state


def write_checkpoint(content: dict[str, Any], path: Path) -> None:
    """Write ``content`` whole, or leave what was there; the folder is made if absent.

    Raises:
        OSError: if the disk is full or cannot be written to.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.serialization.set_crc32_options(False)  # half the time of writing, and torch.load never looks at them

    def write(temporary: Path) -> None:
        with temporary.open("wb") as file:  # torch.save would write the temporary file's name into the archive
            torch.save(content, file)

    try:
        atomic_write(path, write)
    except RuntimeError as error:  # torch's way to say that a write fell short
        raise OSError(f"cannot write {path}: is the disk full? ({error})") from error


def read_checkpoint(path: Path) -> dict[str, Any]:
    """The content of a checkpoint on the CPU; only tensors and plain values are accepted.

    Raises:
        ValueError: in one line, if it is damaged or wants to execute something.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever a damaged file leads to: there is no list of it
        reason = str(error).strip().splitlines()[:1]
        raise ValueError(f"resume: {path} is damaged or no checkpoint of fedgan ({' '.join(reason)})") from error
    check(isinstance(content, dict), f"resume: {path}", "a checkpoint of fedgan", type(content).__name__)
    return dict(content)


def latest_checkpoint(folder: Path) -> Path | None:
    """The newest checkpoint of a run's folder; None where there is none.

    Example:
        >>> latest_checkpoint(Path("nowhere")) is None
        True
    """
    return max((folder / FOLDER).glob(PATTERN), key=rounds_done, default=None)


def rounds_done(checkpoint: Path) -> int:
    """After how many rounds it was written, by its name.

    Example:
        >>> rounds_done(Path("round_0004.ckpt"))  # rounds count from 0
        5
    """
    number = re.match(r"round_(\d+)", checkpoint.name)
    return int(number[1]) + 1 if number else 0


class ClientFiles:
    """The states of clients that have taken part, one file each time that one has changed.

    A file is never written over, so that a checkpoint and the files that it refers to stay what they are.

    Args:
        folder: of these files alone; made when the first is written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
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
        """Take these states for the newest; the files of what came later are removed, or they would be taken for it.

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
        return [(int(name[1]), int(name[2])) for name in names if name]

    def _file(self, client_id: int, round_: int) -> Path:
        return self.folder / f"client_{client_id:04d}_round_{round_:04d}.ckpt"
