"""Files of tensors and plain values that are whole or not there, and that execute nothing when they are read."""

from pathlib import Path
from typing import Any

import torch

from fedgan.core.checks import check
from fedgan.core.files import atomic_write


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
