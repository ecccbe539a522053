"""Checkpoints that are whole or not there, and that execute nothing when they are read."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pytorch_lightning.plugins.io import TorchCheckpointIO

from fedgan.core.tensor_files import read_checkpoint, write_checkpoint
from fedgan.federated.client_files import CLIENTS, ClientFiles

FOLDER = "checkpoints"
PATTERN = "round_*.ckpt"
_NAME = re.compile(r"round_(\d+)(-v\d+)?\.ckpt")  # Lightning adds -v1 rather than overwrite a file
HERE = "(this folder)"  # in place of a checkpoint's own folder


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
        """Read a checkpoint, whatever it contains, without executing any of it.

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


def latest_checkpoint(folder: Path) -> Path | None:
    """The newest checkpoint of a run's folder; None where there is none. Copies with names of their own are none.

    Example:
        >>> latest_checkpoint(Path("nowhere")) is None
        True
    """
    return max((file for file in (folder / FOLDER).glob(PATTERN) if rounds_done(file)), key=rounds_done, default=None)


def rounds_done(checkpoint: Path) -> int:
    """After how many rounds it was written, by its name; 0 of a file that has no checkpoint's name.

    Example:
        >>> rounds_done(Path("round_0004.ckpt"))  # rounds count from 0
        5
        >>> rounds_done(Path("round_0004 (1).ckpt"))
        0
    """
    number = _NAME.fullmatch(checkpoint.name)
    return int(number[1]) + 1 if number else 0
