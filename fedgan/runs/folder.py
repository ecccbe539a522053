"""A run's folder: where a run may begin, and what an unfinished start has left there to be cleared."""

import json
from pathlib import Path
from typing import Annotated, Any

from annotated_types import Predicate

from fedgan.core.arguments import Allowed, also, validated
from fedgan.core.files import write_json
from fedgan.core.folders import Folder, is_leftover
from fedgan.runs.checkpoint import latest_checkpoint
from fedgan.runs.provenance import versions

TABLES = ("rounds.csv", "clients.csv", "events.csv", "timing.csv", "receipts.csv")
MAPS = "defenses"  # what defenses show: <folder>/defenses/<name>/<what>.png, and of flagged clients
FLAGGED = "client_"  # <folder>/defenses/<name>/client_<id>.png
# What a run writes, by folder; nothing else in it is ever removed.
_WRITTEN = {
    ".": ("summary.json", "generator.safetensors", *TABLES),
    "samples": ("round_*.png",),
    f"{MAPS}/*": ("*.png",),
    "checkpoints": ("round_*.ckpt",),
    "checkpoints/clients": ("client_*_round_*.ckpt",),
}
_HARMLESS = (".lock", ".hydra")  # may be there before a run begins, and stay


def record_of(folder: Path) -> dict[str, Any]:
    """What run.json says; empty where it is missing or not whole."""
    try:
        record = json.loads((folder / "run.json").read_text())
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}


def is_finished(folder: Path) -> bool:
    """Whether ``folder`` contains a run that has all its rounds, as run.json says."""
    return record_of(folder).get("status") == "finished"


def _is_unfinished(folder: Path) -> bool:
    return not is_finished(folder)


def _has_no_checkpoint(folder: Path) -> bool:
    return latest_checkpoint(folder) is None


Finished = Annotated[Path, Predicate(is_finished), Allowed("the folder of a finished run")]
_Unfinished = Annotated[Path, Predicate(_is_unfinished), Allowed("a folder without a finished run")]
_Unbegun = Annotated[Path, Predicate(_has_no_checkpoint), Allowed("a folder without a run (resume=auto resumes it)")]
WithoutRun = Annotated[Folder, also(_Unfinished), also(_Unbegun)]


def check_new(folder: Path) -> None:
    """Refuse a folder that a run cannot begin in, and touch nothing in it.

    Raises:
        ValueError: in one line, if it contains a run, or anything that is not a run's.
    """
    if not folder.exists():
        return
    validated("hydra.run.dir", WithoutRun, folder)
    others = [] if "fedgan" in (record_of(folder).get("versions") or ()) else foreign(folder)
    more = " and more" if len(others) > 3 else ""
    if others:
        raise ValueError(
            f"hydra.run.dir must be a new or empty folder; {folder} contains {', '.join(others[:3])}{more}"
        )


def foreign(folder: Path) -> list[str]:
    """The names of what is in a folder, without the traces of a start of fedgan that wrote no record."""
    names = sorted(entry.name for entry in folder.iterdir())
    return [name for name in names if name not in _HARMLESS and not name.endswith(".log") and not is_leftover(name)]


def open_folder(folder: Path) -> None:
    """Make the folder a run's, and clear what a start that did not finish its first round has left there.

    To be called after ``check_new``, where no other process works.
    """
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "run.json", {"status": "running", "versions": versions()})  # from now on it is fedgan's
    for part, patterns in _WRITTEN.items():
        for pattern in patterns:
            for file in folder.glob(f"{part}/{pattern}"):
                file.unlink()
    clear_leftovers(folder)


def client_picture(folder: Path, defense: str, client: int) -> Path:
    """Where the picture of a client is that stood out to a defense, by name, if it shows any.

    Example:
        >>> client_picture(Path("run"), "generator_audit", 2).as_posix()
        'run/defenses/generator_audit/client_2.png'
    """
    return folder / MAPS / defense / f"{FLAGGED}{client}.png"


def clear_leftovers(folder: Path) -> None:
    """Remove what killed processes have left in a run's folder: temporary files, Lightning's checkpoints for Slurm."""
    for part in _WRITTEN:
        for file in folder.glob(f"{part}/*"):
            if file.is_file() and (is_leftover(file.name) or file.match("hpc_ckpt_*.ckpt")):
                file.unlink()
