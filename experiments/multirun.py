"""The runs of a study: commands of fedgan by Hydra's multirun and its launchers, as a user could type them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from omegaconf import DictConfig

from experiments.settings import quoted
from fedgan.config.sweeps.subcommand import call
from fedgan.core.files import atomic_write

OPTIONS = ".jobs"  # in a folder of jobs: the config group of their settings


@dataclass(frozen=True)
class Job:
    """A command whose settings are no product of lists: what it is for one folder.

    Attributes:
        module: of the command.
        folder: Hydra's output folder; its name is the job's.
        own: its own settings.
        shared: overrides that others of its kind have too.
        is_done: whether what it makes is there already; such a job is left out.
        runs: the folders of the runs whose weights it reads.
    """

    module: str
    folder: Path
    own: Mapping[str, Any]
    shared: tuple[str, ...]
    is_done: Callable[[], bool]
    runs: tuple[Path, ...] = ()


def launcher_of(settings: DictConfig) -> tuple[str, ...]:
    """How runs are started (conf/launcher/), as overrides of Hydra's; what is null is the launcher's own affair."""
    own = {str(key): value for key, value in settings.items() if key != "name" and value is not None}
    return (f"hydra/launcher={settings.name}", *(f"hydra.launcher.{key}={value}" for key, value in own.items()))


def train(overrides: Sequence[str], folder: Path, subdir: str, launcher: Sequence[str]) -> int:
    """Every combination of what the overrides list; finished runs stay, those that were stopped are resumed.

    Args:
        overrides: of ``python -m fedgan.train``; ``seed=0,1`` is two runs.
        folder: where the runs' folders are.
        subdir: a run's folder in it, with Hydra's interpolations.
        launcher: how they are started (``launcher_of``).

    Returns:
        The exit code: 1 if a run was refused or failed; the others are done all the same.
    """
    where = (f"hydra.sweep.dir={quoted(str(folder))}", f"hydra.sweep.subdir={quoted(subdir)}")
    return call("fedgan.train", "-m", *launcher, *overrides, "resume=auto", *where)


def option_of(overrides: Sequence[str]) -> dict[str, Any]:
    """Overrides as a job's own settings: choices as defaults of a file of conf/, values below their keys.

    Args:
        overrides: such as ``defense=[krum]`` and ``fl.rounds=2``; a key without a point is a group, ``seed`` aside.

    Example:
        >>> option_of(["attack=blended", "attack.alpha=0.1", "seed=3"])
        {'defaults': [{'override /attack': 'blended'}], 'attack': {'alpha': 0.1}, 'seed': 3}
    """
    found: dict[str, Any] = {"defaults": []}
    for key, value in ((key, yaml.safe_load(text)) for key, _, text in (each.partition("=") for each in overrides)):
        *above, last = key.split(".")
        if not above and last != "seed":
            found["defaults"].append({f"override /{last}": value})
            continue
        place = found
        for name in above:
            place = place.setdefault(name, {})
        place[last] = value
    return found


def carry_out(jobs: Sequence[Job], launcher: Sequence[str]) -> list[Path]:
    """Do what is not done yet; what fails does not stop the others. Returns the folders of those that are not done.

    Hydra sweeps over products only, and jobs are pairs of a run and its control: each job is an option of a config
    group, and the sweep is over the options.
    """
    missing = [job for job in jobs if not job.is_done()]
    kinds: dict[tuple[str, Path, tuple[str, ...]], list[Job]] = {}
    for job in missing:
        kinds.setdefault((job.module, job.folder.parent, job.shared), []).append(job)
    for (module, folder, shared), own in kinds.items():
        for job in own:
            _write_option(folder / OPTIONS / "job" / f"{job.folder.name}.yaml", job.own)
        where = (f"hydra.sweep.dir={quoted(str(folder))}", "hydra.sweep.subdir='${hydra.runtime.choices.job}'")
        chosen = f"+job={','.join(job.folder.name for job in own)}"
        call(module, "--config-dir", str(folder / OPTIONS), "-m", *launcher, chosen, *shared, *where)
    return [job.folder for job in missing if not job.is_done()]


def _write_option(file: Path, settings: Mapping[str, Any]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    text = f"# @package _global_\n# Settings of one job of a study.\n{yaml.safe_dump(dict(settings))}"

    def write(path: Path) -> None:
        path.write_text(text)

    atomic_write(file, write)
