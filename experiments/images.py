"""The real images that studies train on, from images.yaml: how they are read, the paper's trigger on them, spreads."""

from functools import cache
from pathlib import Path
from typing import Any

import yaml

from fedgan.core.checks import check

FOLDERS = ("chest_xray", "skin_lesions")
_FILE = Path(__file__).parent / "images.yaml"


@cache
def _read() -> dict[str, Any]:
    return dict(yaml.safe_load(_FILE.read_text()))


def names() -> tuple[str, ...]:
    """What the images are called.

    Example:
        >>> names()
        ('chest', 'lesions')
    """
    return tuple(_read()["data"])


def overrides_of(data: str, root: str) -> tuple[str, ...]:
    """The overrides of ``python -m fedgan.train`` that read these images; ``root``: the folder with ``FOLDERS``."""
    return tuple(text.replace("{root}", root) for text in _read()["data"][data])


def patch_on(data: str) -> tuple[str, ...]:
    """The overrides of the paper's trigger on these images.

    Example:
        >>> patch_on("lesions")
        ('attack=random_patch', 'attack.margin=1')
    """
    return tuple(_read()["patch"][data])


def spread(data: str, clients: int) -> float:
    """Of honest clients' log losses, as it was measured on the trial's control runs of about so many clients.

    Example:
        >>> spread("chest", 4), spread("chest", 10)
        (0.11, 0.13)
    """
    by_clients: dict[int, float] = _read()["spreads"][data]
    return by_clients[max(n for n in by_clients if n <= clients)]


def check_root(root: Path | None) -> None:
    """Refuse a folder without the images, or none.

    Raises:
        ValueError: in one line.
    """
    there = root is not None and all((root / name).is_dir() for name in FOLDERS)
    check(there, "--root", f"a folder with {' and '.join(FOLDERS)} in it", root and str(root))


def folder_of(data: str, root: Path) -> Path:
    """Where the images are below a root.

    Example:
        >>> folder_of("lesions", Path("/images")).as_posix()
        '/images/skin_lesions'
    """
    return root / dict(zip(names(), FOLDERS, strict=True))[data]
