"""What the matrix costs."""

from collections.abc import Sequence
from pathlib import Path

from experiments.budget import Step, table_of
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
    return table_of([_step(cell, runs / cell.folder, rounds) for cell in cells])


def _step(cell: Cell, run: Path, rounds: int) -> Step:
    record = record_of(run) if is_finished(run) else {}
    done = record.get("rounds") == rounds
    guess = float(read_plan()["seconds"])
    return Step(cell.stage, cell.data, guess, is_done=done, seconds=float(record["seconds"]) if done else None)
