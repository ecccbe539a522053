"""Sample grids in files: what they are called, and which there are."""

import re
from pathlib import Path

_NAME = re.compile(r"round_([0-9]{4}|[1-9][0-9]{4,})\.png")  # exactly as ``grid_file`` names them


def grid_file(folder: Path, round_: int) -> Path:
    """Where a round's sample grid is.

    Example:
        >>> grid_file(Path("samples"), 3).name
        'round_0003.png'
    """
    return folder / f"round_{round_:04d}.png"


def grid_files(folder: Path) -> dict[int, Path]:
    """The sample grids in a folder by their rounds, in order; a file of any other name, such as a copy, is none."""
    names = ((_NAME.fullmatch(file.name), file) for file in folder.glob("round_*.png"))
    return dict(sorted((int(name[1]), file) for name, file in names if name))
