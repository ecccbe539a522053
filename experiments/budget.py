"""What a study costs: steps times seconds, measured on steps that are done, else the plan's guess."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from tabulate import tabulate


@dataclass(frozen=True)
class Step:
    """Something that a study does, once.

    Attributes:
        stage: of the study, by its name.
        data: the images.
        guess: seconds, for as long as nothing like it has been measured.
        is_done: whether it is done already.
        seconds: that it took; None if it is not done, or nobody knows.
        kind: what it is, several of them.
    """

    stage: str
    data: str
    guess: float
    is_done: bool
    seconds: float | None = None
    kind: str = "runs"


def table_of(steps: Sequence[Step]) -> str:
    """A row for each stage and data set, in the order of the steps; then what is left in all.

    Example:
        >>> done = Step("controls", "chest", 100.0, is_done=True, seconds=60.0)
        >>> print(table_of([done, Step("controls", "chest", 100.0, is_done=False)]).splitlines()[-1])
        2 runs, 1 left: 0.0 hours of one process
    """
    stages: dict[tuple[str, str], list[Step]] = {}
    for step in steps:
        stages.setdefault((step.stage, step.data), []).append(step)
    rows = [_row(own, steps) for own in stages.values()]
    hours = sum(row["hours left"] for row in rows)
    shown = [row | {"hours left": f"{row['hours left']:.1f}"} for row in rows]
    counts = {kind: sum(step.kind == kind for step in steps) for kind in dict.fromkeys(step.kind for step in steps)}
    every = ", ".join(f"{count} {kind}" for kind, count in counts.items())
    left = sum(not step.is_done for step in steps)
    table = tabulate(shown, headers="keys", disable_numparse=True)
    return f"{table}\n\n{every}, {left} left: {hours:.1f} hours of one process"


def _row(own: Sequence[Step], steps: Sequence[Step]) -> dict[str, Any]:
    seconds, source = seconds_of(own[0], steps)
    left = sum(not step.is_done for step in own)
    about = {"stage": own[0].stage, "data": own[0].data, "number": len(own), "left": left}
    return {**about, "seconds each": f"{seconds:.0f} ({source})", "hours left": left * seconds / 3600}


def seconds_of(step: Step, steps: Sequence[Step]) -> tuple[float, str]:
    """Of a step like this one, and where that is from: its stage's, else its data set's of its kind, else its guess.

    The median: a run during which the machine slept counts its hours.
    """
    of_data = [each for each in steps if (each.data, each.kind) == (step.data, step.kind)]
    for alike in ([each for each in of_data if each.stage == step.stage], of_data):
        known = [each.seconds for each in alike if each.seconds is not None]
        if known:
            return median(known), f"measured on {len(known)}"
    return step.guess, "a guess"
