"""What tables and figures need of a study's runs, in archives small enough for version control: no weights.

With them a study can be trained in parts, on several machines, and its tables and figures can be made again without
training. ``<data>-seed_<seed>.tar.xz`` has the records of all runs of a data set with that seed.
"""

import json
import shutil
import tarfile
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import copy
from io import BytesIO
from lzma import LZMAError
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any

import yaml

from experiments.measures import CONTROL
from experiments.paper.grids import REAL, SHOWN
from experiments.paper.plan import Arm, Plan
from experiments.paper.runs import check_settings, is_finished
from experiments.paper.utility import FITS, RECORD, study_folder
from fedgan.core.checks import check
from fedgan.core.files import atomic_write, temporary_for
from fedgan.core.folders import LEDGER

OF_A_RUN = ("config.yaml", "run.json", "summary.json", "rounds.csv", "clients.csv", CONTROL, SHOWN, REAL)
RESTORED = ".restored"  # in a folder that was made from an archive, and has no weights: the names of its files
Files = dict[str, bytes]  # by their paths in a folder, with /


def archive_of(kept: Path, data: str, seed: int) -> Path:
    """Where the records of a data set's runs with one seed are kept."""
    return kept / f"{data}-seed_{seed}.tar.xz"


def keep(plan: Plan, arms: Sequence[Arm], left: Collection[Path] = ()) -> list[Path]:
    """Write archives of these arms' finished runs, next to what they have already.

    Settings and records that are absolute paths are left out: they say where things were on one machine.

    Args:
        plan: of the runs.
        arms: whose runs are kept, and their studies of classifiers.
        left: folders in which something is still to be done; they are not kept.

    Returns:
        The archives that were written; one that would be the same stays as it is.

    Raises:
        ValueError: in one line, if a file with an archive's name is none.
    """
    written = list[Path]()
    for file, folders in _folders(plan, arms):
        before = read_archive(file)
        now = dict(before)
        for folder in folders:
            place = _place(plan, folder)
            if folder not in left and _is_done(folder):
                now[place] = _merged(before.get(place, {}), _read(folder))
        if now != before:
            file.parent.mkdir(parents=True, exist_ok=True)
            write_archive(file, now)
            written.append(file)
    return written


def restore(plan: Plan, arms: Sequence[Arm], wanted: Callable[[], set[Path]]) -> list[Path]:
    """Put what is kept of these arms' runs, and of studies of classifiers, where there is no folder yet.

    What is kept has no weights. A restored folder that is wanted with weights is removed again: it has to be made anew.

    Args:
        plan: of the runs.
        arms: whose runs are wanted.
        wanted: says of which runs weights are wanted, and which studies are to be continued, as things are.

    Returns:
        The folders that were made and are still there.

    Raises:
        ValueError: in one line, if an archive cannot be read, or has a run with other settings than the plan's, or if
            somebody has put a file into a folder that would be removed.
    """
    made = set[Path]()
    settings = {plan.folder(arm, seed): plan.settings([arm], [seed]) for arm in arms for seed in plan.seeds}
    for file, folders in _folders(plan, arms):
        kept = read_archive(file)
        for folder in folders:
            files = kept.get(_place(plan, folder))
            if files is not None and not folder.exists():
                _put(files, folder, settings.get(folder), file)
                made.add(folder)
    while weightless := {folder for folder in wanted() if (folder / RESTORED).is_file()}:
        for folder in weightless:
            _drop(folder)
        made -= weightless
    return sorted(made)


@contextmanager
def restored_elsewhere(plan: Plan, arms: Sequence[Arm]) -> Iterator[Plan]:
    """The same plan in a temporary folder, with links to the folders that there are: to look and leave no trace."""
    with TemporaryDirectory() as temporary:
        shadow = copy(plan)
        shadow.runs = Path(temporary)
        for _, folders in _folders(plan, arms):
            for folder in folders:
                if folder.exists() and not (folder / RESTORED).is_file():
                    link = shadow.runs / folder.relative_to(plan.runs)
                    link.parent.mkdir(parents=True, exist_ok=True)
                    link.symlink_to(folder.absolute())
        yield shadow


def read_archive(file: Path) -> dict[str, Files]:
    """The files of each folder in an archive; none where there is no such file.

    Raises:
        ValueError: in one line, if ``keep`` has not written it.
    """
    folders: dict[str, Files] = {}
    if not file.exists():
        return folders
    try:
        with tarfile.open(file, "r:xz") as archive:
            for member in archive:
                path, content = PurePosixPath(member.name), archive.extractfile(member) if member.isfile() else None
                fits = content is not None and not path.is_absolute() and ".." not in path.parts
                check(fits, str(file), "an archive of plain files", member.name)
                assert content is not None
                folder, within = _parted(path)
                folders.setdefault(folder, {})[within] = content.read()
    except (tarfile.TarError, LZMAError, EOFError, OSError) as error:
        raise ValueError(f"{file} must be an archive that experiments.paper wrote; {error}") from error
    other = next((folder for folder, files in folders.items() if not {"run.json", RECORD} & files.keys()), None)
    check(other is None, str(file), "an archive of runs and studies", other)
    return folders


def write_archive(file: Path, folders: Mapping[str, Files]) -> None:
    """Write an archive, whole or not at all: the same bytes for the same files."""

    def write(temporary: Path) -> None:
        with tarfile.open(temporary, "w:xz", preset=9) as archive:
            for folder, files in sorted(folders.items()):
                for name, content in sorted(files.items()):
                    member = tarfile.TarInfo(f"{folder}/{name}")
                    member.size = len(content)
                    archive.addfile(member, BytesIO(content))

    atomic_write(file, write)


def without_paths(settings: Any) -> Any:
    """Settings without absolute paths, which are None in their place.

    Example:
        >>> without_paths({"root": "/data/chest", "size": 8, "runs": ["/a", "b"]})
        {'root': None, 'size': 8, 'runs': [None, 'b']}
    """
    if isinstance(settings, Mapping):
        return {key: without_paths(value) for key, value in settings.items()}
    if isinstance(settings, list):
        return [without_paths(value) for value in settings]
    return None if isinstance(settings, str) and settings.startswith("/") else settings


def _folders(plan: Plan, arms: Sequence[Arm]) -> Iterator[tuple[Path, list[Path]]]:
    """Each archive, and the folders that may be in it: these arms' runs, and a study of classifiers."""
    if plan.kept is None:
        return
    for data in dict.fromkeys(arm.data for arm in arms):
        for seed in plan.seeds:
            runs = [plan.folder(arm, seed) for arm in arms if arm.data == data]
            yield archive_of(plan.kept, data, seed), [*runs, study_folder(plan, data, seed)]


def _is_done(folder: Path) -> bool:
    return is_finished(folder) or (folder / RECORD).is_file()


def _merged(before: Files, now: Files) -> Files:
    """Of a run with the same generator what is new and what else was kept; of anything else what is new alone."""
    same = "summary.json" in now and before.get("summary.json") == now["summary.json"]
    return before | now if same else now


def _read(folder: Path) -> Files:
    """What is kept of a folder: records and settings without absolute paths."""
    of_study = [RECORD, LEDGER, *(file.relative_to(folder).as_posix() for file in folder.glob(f"{FITS}/*/*.json"))]
    names = of_study if (folder / RECORD).is_file() else OF_A_RUN
    return {name: _portable(folder / name) for name in sorted(names) if (folder / name).is_file()}


def _portable(file: Path) -> bytes:
    content = file.read_bytes()
    if file.suffix not in (".json", ".yaml"):
        return content
    stated = json.loads(content) if file.suffix == ".json" else yaml.safe_load(content)
    portable = without_paths(stated)
    if portable == stated:
        return content
    text = json.dumps(portable, indent=2) if file.suffix == ".json" else yaml.safe_dump(portable, sort_keys=False)
    return text.encode()


def _place(plan: Plan, folder: Path) -> str:
    """A folder as archives name it."""
    return folder.relative_to(plan.runs).as_posix()


def _parted(path: PurePosixPath) -> tuple[str, str]:
    """A file's folder (``<data>/<place>/<name>``) and its place within."""
    return "/".join(path.parts[:3]), "/".join(path.parts[3:])


def _put(files: Files, folder: Path, settings: Sequence[str] | None, file: Path) -> None:
    """Make the folder, whole or not at all.

    Raises:
        ValueError: in one line, if it is a run with other settings than these.
    """
    temporary = temporary_for(folder)
    try:
        for name, content in {**files, RESTORED: "\n".join(files).encode()}.items():
            (temporary / name).parent.mkdir(parents=True, exist_ok=True)
            (temporary / name).write_bytes(content)
        if settings is not None:
            check_settings(temporary, settings)
        temporary.rename(folder)
    except ValueError as error:
        stated = str(error).replace(str(temporary), f"{folder.name} in {file}")
        raise ValueError(f"{stated}; kept=null leaves what is kept aside") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _drop(folder: Path) -> None:
    """Remove a restored folder.

    Raises:
        ValueError: in one line, if there is more in it than was put there.
    """
    own = {RESTORED, SHOWN, REAL, *(folder / RESTORED).read_text().splitlines()}
    files = {file.relative_to(folder).as_posix() for file in folder.rglob("*") if not file.is_dir()}
    others = ", ".join(sorted(files - own))
    check(not others, str(folder), "moved away or without files of yours, since its weights are wanted", others)
    shutil.rmtree(folder)
