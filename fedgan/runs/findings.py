"""What defenses leave to be looked at in a run's folder: maps of all clients, and a picture of each that stood out."""

from collections.abc import Collection, Mapping
from pathlib import Path

from PIL import Image
from torch import Tensor

from fedgan.core.files import atomic_write
from fedgan.defenses.base import Comparison, Defense
from fedgan.runs.folder import MAPS, client_picture
from fedgan.scoring.comparison import draw_comparisons
from fedgan.scoring.maps import draw_maps, place_of

Found = dict[str, tuple[Tensor, Comparison]]  # by the map's name: the map, and what is compared


def found_by(defense: Defense) -> dict[int, Found]:
    """What speaks against each client that stood out; clients of whom the defense shows nothing are left out."""
    maps, found = defense.maps(), dict[int, Found]()
    for what, compared in defense.comparisons().items():
        for client in sorted(compared):
            found.setdefault(client, {})[what] = (maps[what][client], compared[client])
    return found


def places(found: Found) -> dict[str, float]:
    """The place of each map, as measures of receipts.csv: ``<what>_top``, ``_bottom``, ``_left``, ``_right``.

    The rows and columns of the rectangle of ``place_of``; all four belong to it. Where it is all of the image,
    ``<what>_whole`` is 1 too.
    """
    measures = dict[str, float]()
    for what, (evidence, compared) in found.items():
        place = place_of(evidence)
        measures |= {f"{what}_{edge}": float(value) for edge, value in place._asdict().items()}
        if len(compared.images) and place.covers(*evidence.shape):
            measures[f"{what}_whole"] = 1.0
    return measures


def save_maps(folder: Path, defenses: Mapping[str, Defense], malicious: Collection[int]) -> dict[str, Path]:
    """Draw what defenses show of this round's clients.

    Returns:
        The files, ``defenses/<name>/<what>.png``, by ``defense.<name>/<what>``.
    """
    files = {}
    for name, defense in defenses.items():
        for what, maps in defense.maps().items():
            file = files[f"defense.{name}/{what}"] = folder / MAPS / name / f"{what}.png"
            _save(draw_maps(maps, malicious), file)
    return files


def save_client(folder: Path, name: str, client: int, found: Found, round_: int, *, malicious: bool) -> Path:
    """What a defense, by name, has found of a client: a picture that replaces that of an earlier round; its file."""
    title = f"client {client}{' (malicious)' if malicious else ''}, round {round_}"
    file = client_picture(folder, name, client)
    _save(draw_comparisons(title, found), file)
    return file


def _save(picture: Image.Image, file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    atomic_write(file, lambda path: picture.save(path))
