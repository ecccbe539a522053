"""Which federations the study has: plan.yaml, read."""

from functools import cache
from pathlib import Path
from typing import Any

import yaml

from experiments.federations import Setting
from experiments.images import names, overrides_of

PLAN = Path(__file__).parent / "plan.yaml"
CONTROL = "control_"  # how the names of settings in which nobody attacks begin


@cache
def read_plan() -> dict[str, Any]:
    """plan.yaml."""
    return dict(yaml.safe_load(PLAN.read_text()))


def settings(root: str) -> list[Setting]:
    """All settings of the plan, in its order.

    Args:
        root: the folder with the images.
    """
    read = read_plan()
    first, last = read["seeds"]
    return [
        Setting(data, name, _overrides(data, own["overrides"], root), tuple(range(first, last + 1)))
        for name, own in read["settings"].items()
        for data in names()
        if name in planned(data)
    ]


def planned(data: str) -> list[str]:
    """The names of the settings that a data set has.

    Example:
        >>> "size8_share50" in planned("chest"), "size8_share50" in planned("lesions")
        (True, False)
    """
    return [name for name, own in read_plan()["settings"].items() if own.get("data", data) == data]


def controls() -> dict[str, str]:
    """The setting with the runs of each control, by the control's name; most controls have their own.

    Example:
        >>> controls()["control_size8"], controls()["control_size2"]
        ('control_size8', 'control_size8')
    """
    read = read_plan()
    own = {name: name for name in read["settings"] if name.startswith(CONTROL)}
    return own | dict(read["same_runs"])


def evaluation() -> tuple[str, ...]:
    """How all runs are scored, as overrides of ``python -m fedgan.evaluate``."""
    kept = [text.removeprefix("evaluation.") for text in read_plan()["shared"]]
    return tuple(text for text in kept if text.startswith(("metrics=", "samples_per_class=")))


def _overrides(data: str, own: list[str], root: str) -> tuple[str, ...]:
    read = read_plan()
    return (*overrides_of(data, root), *read["shared"], f"attack.look={read['looks'][data]}", *own)


def control_of(name: str) -> str:
    """The setting in which nobody attacks that a setting is compared with.

    Example:
        >>> control_of("size8_share20"), control_of("size8_median")
        ('control_size8', 'control_size8_median')
    """
    return CONTROL + name.partition("_share")[0]
