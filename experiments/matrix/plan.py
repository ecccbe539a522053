"""Which federations the study has, and how they are trained: plan.yaml and all that conf/ has."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import yaml

from experiments import images
from experiments.multirun import Job, option_of
from experiments.paper.runs import check_run, is_finished
from fedgan.config.help.library import tables
from fedgan.config.help.reference import groups
from fedgan.config.refusals import options

PLAN = Path(__file__).parent / "plan.yaml"
CONTROL, NONE = "control", "none"  # nobody attacks; no defense
FRECHET = "frechet"  # what attacks are judged by that no detector looks for
_FOLDER = "controls"


@dataclass(frozen=True)
class Attack:
    """A column of the matrix, on some images.

    Attributes:
        name: of its file in conf/, or ``CONTROL``.
        overrides: of ``python -m fedgan.train``.
        metric: the option of ``metrics=`` that looks for it; ``FRECHET`` where there is nothing to look for.
        of_class: the label of the class whose images alone are looked at; None for all.
    """

    name: str
    overrides: tuple[str, ...]
    metric: str
    of_class: int | None = None


@dataclass(frozen=True)
class Cell:
    """One federation.

    Attributes:
        data: the name of the images.
        attack: what the malicious clients do.
        defense: of conf/defense.
        seed: of everything.
    """

    data: str
    attack: Attack
    defense: str
    seed: int

    @property
    def folder(self) -> Path:
        """Of its run below the study's: ``chest/controls/krum-s200``, ``chest/krum/warping-s200``."""
        if self.attack.name == CONTROL:
            return Path(self.data) / _FOLDER / f"{self.defense}-s{self.seed}"
        return Path(self.data) / self.defense / f"{self.attack.name}-s{self.seed}"

    @property
    def stage(self) -> str:
        """What is trained with it: the controls, or what a defense meets."""
        return self.folder.parent.name

    @property
    def overrides(self) -> tuple[str, ...]:
        """Its own, without those that all runs on these images have."""
        scored = dict.fromkeys((self.attack.metric, *read_plan()["metrics"]))
        chosen = (f"metrics=[{','.join(scored)}]", f"seed={self.seed}")
        return (*self.attack.overrides, *defended(self.defense, self.data), *chosen)


@cache
def read_plan() -> dict[str, Any]:
    """plan.yaml."""
    return dict(yaml.safe_load(PLAN.read_text()))


def defenses() -> tuple[str, ...]:
    """The rows of the matrix: no defense, then all of conf/defense."""
    return (NONE, *(name for name in options("defense") if name != NONE))


@cache
def attacks(data: str) -> tuple[Attack, ...]:
    """The columns of the matrix: the control, then all of conf/attack and of conf/update_attack."""
    control = Attack(CONTROL, ("attack=none", "fl.malicious=0"), FRECHET)
    pairs = [(group, name) for group in ("attack", "update_attack") for name in options(group) if name != NONE]
    return (control, *(_attack(group, name, data) for group, name in pairs))


def _attack(group: str, name: str, data: str) -> Attack:
    own = read_plan()["attacks"].get(name, {})
    carried = "{patch}" in own.get("overrides", ())
    images_of = [] if group == "attack" or carried else ["attack=none"]
    typed = [*images_of, f"{group}={name}", f"fl.malicious={read_plan()['malicious']}"]
    overrides = [*typed, *_filled(own.get("overrides", ()), data)]
    painted = next(text.removeprefix("attack=") for text in overrides if text.startswith("attack="))
    return Attack(name, tuple(overrides), finders().get(painted, FRECHET), own.get("of_class"))


@cache
def finders() -> dict[str, str]:
    """The metric that looks for each attack on images, from the attack itself or from the comment in its file.

    Example:
        >>> finders()["noise_patch"], finders()["warping"], finders()["label_flip"]
        ('pattern', 'learned', 'consistency')
    """
    return {row["name"]: re.split(r"\W", row["found by"])[0] for row in tables()["attack"]}


def defended(name: str, data: str) -> tuple[str, ...]:
    """The overrides of a defense on some images.

    Example:
        >>> defended("dnc", "chest"), defended("bulyan", "chest")[1:]
        (('defense=[dnc]', 'defense.dnc.num_malicious=2'), ('defense.bulyan.num_malicious=1',))
    """
    own = _filled(read_plan()["defenses"].get(name, {}).get("overrides", ()), data)
    counted = [f"{key}={read_plan()['malicious']}" for key in _counts() if key.split(".")[1] == name]
    typed = [f"defense=[{name}]", *counted, *own]
    return tuple({text.partition("=")[0]: text for text in typed}.values())  # the last of each setting


@cache
def _counts() -> tuple[str, ...]:
    """The settings of defenses that say how many clients are malicious."""
    keys = [each.key for option in groups()["defense"] for each in option.settings]
    return tuple(key for key in keys if key.endswith(".num_malicious"))


def _filled(texts: Iterable[str], data: str) -> list[str]:
    spread = str(images.spread(data, read_plan()["clients"]))
    parts = [images.patch_on(data) if text == "{patch}" else (text.replace("{spread}", spread),) for text in texts]
    return [text for part in parts for text in part]


def cells(seeds: range | None = None) -> list[Cell]:
    """The whole matrix, the most informative cells first: controls, all attacks without defense, then each defense.

    Args:
        seeds: of each cell; None for the plan's.
    """
    first, last = read_plan()["seeds"]
    wanted = range(first, last + 1) if seeds is None else seeds
    whole = product(images.names(), defenses(), wanted)
    every = [Cell(data, attack, row, seed) for data, row, seed in whole for attack in attacks(data)]
    order = (_FOLDER, *defenses())
    return sorted(every, key=lambda cell: order.index(cell.stage))


def chosen(
    every: Sequence[Cell], data: str | None = None, attacks: str | None = None, defenses: str | None = None
) -> list[Cell]:
    """The cells of some images, of attacks and defenses that match patterns (fnmatch, several between commas).

    Controls and cells without defense, which others are compared with, are attacks and defenses as any other:
    ``control`` and ``none``.

    Example:
        >>> few = chosen(cells(range(200, 201)), "chest", "control,white*", "none,flame")
        >>> [str(cell.folder) for cell in few[:3]]
        ['chest/controls/none-s200', 'chest/controls/flame-s200', 'chest/none/white_square-s200']
    """
    some = [cell for cell in every if data in (None, cell.data)]
    return [cell for cell in some if _matches(cell.attack.name, attacks) and _matches(cell.defense, defenses)]


def _matches(name: str, patterns: str | None) -> bool:
    return patterns is None or any(fnmatchcase(name, pattern) for pattern in patterns.split(","))


def check_runs(some: Sequence[Cell], runs: Path, overrides: Sequence[str]) -> None:
    """Refuse to begin where a cell has a run with other values than these overrides give.

    Raises:
        ValueError: in one line.
    """
    for cell in some:
        shared = (*images.overrides_of(cell.data, ""), *read_plan()["shared"])
        check_run(runs / cell.folder, [*cell.overrides, *shared, *overrides])


def jobs(some: Sequence[Cell], runs: Path, root: str, overrides: Sequence[str]) -> list[Job]:
    """The commands that train these cells; one whose run is finished is done.

    Args:
        some: of the matrix.
        runs: the study's folder.
        root: the folder with the images.
        overrides: of every run, after the plan's.
    """
    return [_job(cell, runs / cell.folder, root, overrides) for cell in some]


def _job(cell: Cell, folder: Path, root: str, overrides: Sequence[str]) -> Job:
    shared = (*images.overrides_of(cell.data, root), *read_plan()["shared"], *overrides, "resume=auto")
    return Job("fedgan.train", folder, option_of(cell.overrides), shared, lambda: is_finished(folder))
