"""What each metric means: unit, direction, what belongs next to it; from glossary.yaml."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

import yaml

FILE = Path(__file__).with_name("glossary.yaml")
ARROWS = {"lower": "↓", "higher": "↑", "neither": ""}


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A metric, explained.

    Attributes:
        name: its column.
        unit: of its values; empty if unknown.
        better: which way is better; for the trigger's metrics, what a defense wants.
        meaning: one line; empty if unknown.
        low: column of the lower end of its 95 % interval, if it has one.
        high: column of the upper end.
        error: column of its standard error, if it has one.
        reference: name of the fact that stands next to it, if there is one.
        of: what that fact is about.
    """

    name: str
    unit: str = ""
    better: Literal["lower", "higher", "neither"] = "neither"
    meaning: str = ""
    low: str | None = None
    high: str | None = None
    error: str | None = None
    reference: str | None = None
    of: str = ""

    @property
    def arrow(self) -> str:
        """``↓`` where lower is better, ``↑`` where higher is; else nothing."""
        return ARROWS[self.better]


@cache
def entries() -> dict[str, Entry]:
    """All metrics that are explained, by column, in the order in which reports show them."""
    content = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    return {name: Entry(name=name, **about) for name, about in content.items()}


def entry(name: str) -> Entry:
    """A metric's entry; one without explanations for a metric of a user's own."""
    return entries().get(name) or Entry(name=name)


def companions() -> set[str]:
    """The columns that only accompany others: ends of intervals, standard errors.

    Example:
        >>> sorted(companions())[-3:]
        ['spectrum_emission_low', 'template_emission_high', 'template_emission_low']
    """
    return {name for each in entries().values() for name in (each.low, each.high, each.error) if name}


def leading(columns: Iterable[str]) -> list[str]:
    """The metrics among columns that stand for themselves, means over classes, in the order of the glossary.

    Example:
        >>> leading(["my_score", "emission_low", "recall", "emission", "emission/NORMAL"])
        ['emission', 'recall', 'my_score']
    """
    own = [name for name in columns if "/" not in name and name not in companions()]
    known = list(entries())
    return sorted(own, key=lambda name: known.index(name) if name in known else len(known))


def reference(name: str, facts: Mapping[str, object]) -> float | None:
    """The number that has to be read next to a metric, such as its floor: a fact, or its mean over classes.

    Args:
        name: the metric.
        facts: of a run, by name.

    Returns:
        None where the run has no such fact.

    Example:
        >>> reference("fid", {"fid_floor/a": 2.0, "fid_floor/b": 4.0}), reference("fid", {})
        (3.0, None)
    """
    fact = entry(name).reference
    if fact is None:
        return None
    if isinstance(whole := facts.get(fact), int | float):
        return float(whole)
    below = [value for key, value in facts.items() if key.startswith(f"{fact}/")]
    parts = [float(value) for value in below if isinstance(value, int | float)]
    return sum(parts) / len(parts) if parts else None
