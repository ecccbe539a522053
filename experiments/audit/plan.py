"""Which federations the study has, and how they are trained: plan.yaml, read."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from experiments.federations import Setting
from experiments.images import names, overrides_of, patch_on
from experiments.multirun import option_of

PLAN = Path(__file__).parent / "plan.yaml"
_RECORDING = (
    "{_target_: experiments.audit.recording.Recording, kept_per_class: 1, "
    "folder: '${hydra:runtime.output_dir}/recording'}"
)
ACTING = "acting"  # the end of the names of settings in which the audit acts


def settings(root: str, plan: Path = PLAN) -> list[Setting]:
    """All settings of the plan, in its order, those in which the audit acts last.

    Args:
        root: the folder with the images.
        plan: the file.
    """
    read = yaml.safe_load(plan.read_text())
    watching = [_setting(read, data, name, root) for name in read["settings"] for data in names()]
    acting = [_acting(each, read) for each in watching if each.name in read["acting"]]
    return watching + acting


def rounds(plan: Path = PLAN) -> int:
    """Of each federation."""
    return int(option_of(yaml.safe_load(plan.read_text())["shared"])["fl"]["rounds"])


def _setting(read: dict[str, Any], data: str, name: str, root: str) -> Setting:
    own = read["settings"][name]
    typed = [part for text in own["overrides"] for part in (patch_on(data) if text == "{patch}" else [text])]
    given = own.get("seeds", read["seeds"])
    first, last = given[data] if isinstance(given, dict) else given
    recorded = (f"+defense.recording={_RECORDING}", "trust=[experiments]")
    overrides = (*overrides_of(data, root), *typed, *read["shared"], *recorded)
    return Setting(data, name, overrides, tuple(range(first, last + 1)))


def _acting(setting: Setting, read: dict[str, Any]) -> Setting:
    # The claims are of the audit as it was when they were written.
    own = (*read["acting"][setting.name], "defense=generator_audit", "defense.generator_audit.equalize=false")
    first, last = read["acting_seeds"]
    seeds = tuple(seed for seed in setting.seeds if first <= seed <= last)
    return replace(setting, name=f"{setting.name}_{ACTING}", overrides=(*setting.overrides, *own), seeds=seeds)
