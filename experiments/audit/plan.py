"""Which federations the study has, and how they are trained: plan.yaml, read."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import yaml

from experiments.images import names, overrides_of, patch_on

PLAN = Path(__file__).parent / "plan.yaml"
_RECORDING = (
    "{_target_: experiments.audit.recording.Recording, kept_per_class: 1, "
    "folder: '${hydra:runtime.output_dir}/recording'}"
)
ACTING = "acting"  # the part of a name that says so


@dataclass(frozen=True)
class Setting:
    """Federations that differ in their seeds alone.

    Attributes:
        data: the name of the images.
        name: of the setting; ends with ``ACTING`` where the audit acts.
        overrides: of ``python -m fedgan.train``, without the seed and without what is recorded.
        seeds: one for each federation.
    """

    data: str
    name: str
    overrides: tuple[str, ...]
    seeds: tuple[int, ...]

    @property
    def folder(self) -> str:
        """Of its runs, below the study's: ``chest/control``; each run's is ``sN`` in it."""
        return f"{self.data}/{self.name}"

    @property
    def typed(self) -> tuple[str, ...]:
        """All overrides but where the runs go."""
        seeds = f"seed={','.join(map(str, self.seeds))}"
        return (*self.overrides, f"+defense.recording={_RECORDING}", "trust=[experiments]", seeds)


def settings(root: str, plan: Path = PLAN) -> list[Setting]:
    """All settings of the plan, in its order, those in which the audit acts last.

    Args:
        root: the folder with the images.
        plan: the file.
    """
    read = yaml.safe_load(plan.read_text())
    watching = [_setting(read, data, name, root) for name in read["settings"] for data in names()]
    acting = [_acting(each, read["acting"][each.name]) for each in watching if each.name in read["acting"]]
    return watching + acting


def _setting(read: dict[str, Any], data: str, name: str, root: str) -> Setting:
    own = read["settings"][name]
    typed = [part for text in own["overrides"] for part in (patch_on(data) if text == "{patch}" else [text])]
    first, last = own.get("seeds", read["seeds"])
    return Setting(data, name, (*overrides_of(data, root), *typed, *read["shared"]), tuple(range(first, last + 1)))


def _acting(setting: Setting, own: Sequence[str]) -> Setting:
    overrides = (*setting.overrides, *own, "defense=generator_audit")
    return replace(setting, name=f"{setting.name}_{ACTING}", overrides=overrides)


def chosen(every: Sequence[Setting], only: str | None, seeds: range | None) -> list[Setting]:
    """Those whose folder matches a pattern (fnmatch), with the seeds of a range alone; none without seeds.

    Example:
        >>> one = Setting("chest", "control", (), (100, 101, 102))
        >>> [each.seeds for each in chosen([one], "chest/*", range(101, 200))]
        [(101, 102)]
    """
    matching = [each for each in every if only is None or fnmatchcase(each.folder, only)]
    cut = [replace(each, seeds=tuple(s for s in each.seeds if seeds is None or s in seeds)) for each in matching]
    return [each for each in cut if each.seeds]
