"""What tables and figures need of a study's runs, in archives small enough for version control: no weights.

With them a study can be trained in parts, on several machines, and its tables and figures can be made again without
training. ``<data>-seed_<seed>.tar.xz`` has the records of all runs of a data set with that seed.
"""

import json
import shutil
import tarfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from lzma import LZMAError
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from experiments.measures import CONTROL
from experiments.multirun import Job
from experiments.paper.grids import REAL, SHOWN
from experiments.paper.plan import Arm, Plan
from experiments.paper.runs import check_settings, is_finished
from experiments.paper.utility import FITS, RECORD, study_folder
from fedgan.core.checks import check
from fedgan.core.files import atomic_write, temporary_for
from fedgan.core.folders import claim

OF_A_RUN = ("config.yaml", "run.json", "summary.json", "rounds.csv", "clients.csv", CONTROL, SHOWN, REAL)
Files = dict[str, bytes]  # by their paths in a folder, with /


def archive_of(kept: Path, data: str, seed: int) -> Path:
    """Where the records of a data set's runs with one seed are kept."""
    return kept / f"{data}-seed_{seed}.tar.xz"


def keep(plan: Plan, left: Collection[Path] = ()) -> list[Path]:
    """Write archives of what is finished, next to what they have already; one that would be the same stays as it is.

    Settings and records that are absolute paths are left out: they say where things were on one machine.

    Args:
        plan: of the runs.
        left: folders in which something is still to be done; they are not kept.

    Returns:
        The archives that were written.

    Raises:
        ValueError: in one line, if a file with an archive's name is there that fedgan has not written.
    """
    written = list[Path]()
    for data in plan.data if plan.kept is not None else ():
        for seed in plan.seeds:
            assert plan.kept is not None
            file, found = archive_of(plan.kept, data, seed), dict(_finished(plan, data, seed, left))
            before = read_archive(file) if file.is_file() else {}
            if before | found != before:
                claim(plan.kept, [file.name], "kept")
                write_archive(file, before | found)
                written.append(file)
    return written


def restore(plan: Plan, arms: Sequence[Arm], jobs: Sequence[Job]) -> list[Path]:
    """Put what is kept of these arms' runs, and of studies of classifiers, where there is no folder yet.

    Kept runs have no weights: one whose weights a job wants is not restored, it has to be trained again.

    Args:
        plan: of the runs.
        arms: whose runs are wanted.
        jobs: that are wanted too; those that are not done will be.

    Returns:
        The folders that were made.

    Raises:
        ValueError: in one line, if an archive cannot be read, or has a run with other settings than the plan's.
    """
    made = set[Path]()
    for kept in _kept(plan, arms):
        kept.put()
        made.add(kept.folder)
    while wanted := made & {run for job in jobs if not job.is_done() for run in job.runs}:
        for folder in wanted:
            shutil.rmtree(folder)
        made -= wanted
    return sorted(made)


def kept_folders(plan: Plan, arms: Sequence[Arm]) -> set[Path]:
    """The folders of runs and studies that ``restore`` can make.

    Raises:
        ValueError: in one line, if an archive cannot be read.
    """
    return {kept.folder for kept in _kept(plan, arms)}


def read_archive(file: Path) -> dict[str, Files]:
    """The files of each folder in an archive.

    Raises:
        ValueError: in one line, if it is none, or has anything but plain files below it.
    """
    folders: dict[str, Files] = {}
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


def _finished(plan: Plan, data: str, seed: int, left: Collection[Path]) -> Iterator[tuple[str, Files]]:
    """What to keep of each folder of this data set and seed."""
    for run in sorted((plan.runs / data).glob(f"*/*-seed_{seed}")):
        if is_finished(run) and run not in left:
            yield _place(plan, run), _read(run, [run / name for name in OF_A_RUN if (run / name).is_file()])
    study = study_folder(plan, data, seed)
    if (study / RECORD).is_file() and study not in left:
        yield _place(plan, study), _read(study, [study / RECORD, *sorted(study.glob(f"{FITS}/*/*.json"))])


def _read(folder: Path, files: Sequence[Path]) -> Files:
    """Their contents, those of settings and records without absolute paths."""
    return {file.relative_to(folder).as_posix(): _portable(file) for file in files}


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


@dataclass(frozen=True)
class _Kept:
    """What an archive has of a folder.

    Attributes:
        file: the archive.
        folder: of a run or a study of classifiers, where the plan has it.
        files: what is in it.
        settings: the plan's, of a run; None of a study.
    """

    file: Path
    folder: Path
    files: Files
    settings: Sequence[str] | None

    def put(self) -> None:
        """Make the folder, whole or not at all.

        Raises:
            ValueError: in one line, if it is a run with other settings than the plan's.
        """
        temporary = temporary_for(self.folder)
        try:
            for name, content in self.files.items():
                (temporary / name).parent.mkdir(parents=True, exist_ok=True)
                (temporary / name).write_bytes(content)
            if self.settings is not None:
                check_settings(temporary, self.settings)
            temporary.rename(self.folder)
        except ValueError as error:
            stated = str(error).replace(str(temporary), f"{self.folder.name} in {self.file}")
            raise ValueError(f"{stated}; kept=null leaves what is kept aside") from error
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def _kept(plan: Plan, arms: Sequence[Arm]) -> Iterator[_Kept]:
    """What archives have of the folders that these arms want and do not have."""
    for data in dict.fromkeys(arm.data for arm in arms if plan.kept is not None):
        for seed in plan.seeds:
            assert plan.kept is not None
            file = archive_of(plan.kept, data, seed)
            folders = read_archive(file) if file.is_file() else {}
            wanted: list[tuple[Path, Sequence[str] | None]] = [
                (plan.folder(arm, seed), plan.settings([arm], [seed])) for arm in arms if arm.data == data
            ]
            for folder, settings in (*wanted, (study_folder(plan, data, seed), None)):
                files = folders.get(_place(plan, folder))
                if files is not None and not folder.exists():
                    yield _Kept(file, folder, files, settings)
