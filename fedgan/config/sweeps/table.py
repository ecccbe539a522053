"""The end of a sweep: its runs as one table, on the screen and as CSV."""

import shlex
import sys
from pathlib import Path

import pandas as pd
from rich.markup import escape
from rich.table import Table

from fedgan.config.next_steps import report_of
from fedgan.config.screen import screen
from fedgan.core.files import atomic_write
from fedgan.core.words import counted, name_lines
from fedgan.metrics.base import is_whole
from fedgan.reports.run import Run, run_folders
from fedgan.reports.table import runs_table

FILE = "sweep.csv"
FIRST = "run,status,reason,seconds,seed"  # by which a table of ours is known
WIDEST = 7  # columns on the screen


def at_end(folder: Path) -> None:
    """Show and leave the table of a sweep's folder; nothing where all runs were refused."""
    runs = [Run(path) for path in run_folders(folder)]
    if not runs:
        return
    table = ended(runs)
    show(table)
    if write(table, folder / FILE):
        print(folder / FILE, file=sys.stderr)
    print(f"next: {shlex.join(['python', '-m', 'fedgan.compare', str(folder)])}", file=sys.stderr)
    print(report_of([folder]), file=sys.stderr)


def ended(runs: list[Run]) -> pd.DataFrame:
    """``runs_table`` with the reason for which a run did not finish."""
    table = runs_table(runs)
    table.insert(2, "reason", [run.record.get("reason") for run in runs])
    return table


def write(table: pd.DataFrame, file: Path) -> bool:
    """Leave the table; a file there that is none of ours stays. Returns whether it was written."""
    if file.exists() and not file.read_text(errors="replace").startswith(FIRST):
        print(f"note: {file} is no table of a sweep and stays; the sweep's is not written", file=sys.stderr)
        return False
    atomic_write(file, lambda path: table.to_csv(path, index=False, lineterminator="\n"))
    return True


def show(table: pd.DataFrame) -> None:
    """One row per run on the screen: what varied, how it ended, and its first metrics; reasons below."""
    failed = table[table["status"] != "finished"]
    hidden = ("run", "reason", *(() if table["seed"].nunique() > 1 else ("seed",)))
    columns = [name for name in table.columns if name not in hidden and is_whole(name)][:WIDEST]
    made = Table(title=counted(len(table), "run"))
    for name in columns:
        made.add_column("\n".join(name_lines(name)), overflow="fold")
    for row in table[columns].itertuples(index=False):
        made.add_row(*(escape(_short(value)) for value in row))
    console = screen(stderr=True)
    console.print(made)
    for run, status, reason in zip(failed["run"], failed["status"], failed["reason"], strict=True):
        console.print(f"{run}: {status}: {reason}", markup=False, highlight=False, soft_wrap=True)


def _short(value: object) -> str:
    if isinstance(value, float):
        return "-" if pd.isna(value) else f"{value:.4g}"
    return "-" if value is None else str(value)
