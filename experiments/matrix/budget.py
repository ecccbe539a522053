"""What the study costs: runs times seconds, measured on runs that there are, else the plan's guess."""

from collections.abc import Sequence
from pathlib import Path
from statistics import mean
from typing import Any

from tabulate import tabulate

from experiments.matrix.plan import Cell, read_plan
from experiments.multirun import option_of
from experiments.paper.runs import is_finished
from fedgan.runs.folder import record_of


def budget(cells: Sequence[Cell], runs: Path, overrides: Sequence[str] = ()) -> str:
    """A table with a row for each stage and data set, in the order of training; then what is left in all.

    Args:
        cells: that are to be trained.
        runs: the study's folder. Runs with another number of rounds are neither done nor measured.
        overrides: of every run, after the plan's.
    """
    typed = [text for text in (*read_plan()["shared"], *overrides) if text.startswith("fl.rounds=")]
    rounds = option_of(typed)["fl"]["rounds"]
    records = {cell: record_of(runs / cell.folder) for cell in cells if is_finished(runs / cell.folder)}
    finished = {cell: float(each["seconds"]) for cell, each in records.items() if each["rounds"] == rounds}
    stages: dict[tuple[str, str], list[Cell]] = {}
    for cell in cells:
        stages.setdefault((cell.stage, cell.data), []).append(cell)
    rows = [_row(stage, data, own, finished) for (stage, data), own in stages.items()]
    left, hours = sum(row["left"] for row in rows), sum(row["hours left"] for row in rows)
    table = tabulate(
        [row | {"hours left": f"{row['hours left']:.1f}"} for row in rows], headers="keys", disable_numparse=True
    )
    return f"{table}\n\n{len(cells)} runs, {left} left: {hours:.1f} hours of one process"


def _row(stage: str, data: str, own: Sequence[Cell], finished: dict[Cell, float]) -> dict[str, Any]:
    seconds, source = seconds_of(own[0], finished)
    left = sum(cell not in finished for cell in own)
    about = {"stage": stage, "data": data, "runs": len(own), "left": left}
    return {**about, "seconds each": f"{seconds:.0f} ({source})", "hours left": left * seconds / 3600}


def seconds_of(cell: Cell, finished: dict[Cell, float]) -> tuple[float, str]:
    """Of a run like this one, and where that is from: runs of its stage, else of its data set, else the plan's guess.

    Args:
        cell: one of its stage.
        finished: the seconds of each finished run.
    """
    of_data = {other: seconds for other, seconds in finished.items() if other.data == cell.data}
    of_stage = [seconds for other, seconds in of_data.items() if other.stage == cell.stage]
    for known in (of_stage, list(of_data.values())):
        if known:
            return mean(known), f"measured on {len(known)}"
    return float(read_plan()["seconds"]), "a guess"
