"""Runs side by side: what ``python -m fedgan.compare`` does behind its door."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
from annotated_types import MinLen
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf
from rich.markup import escape
from rich.table import Table

from fedgan.config.next_steps import report_of
from fedgan.config.screen import screen
from fedgan.core.arguments import Allowed, PathText, checked
from fedgan.core.files import atomic_write
from fedgan.core.folders import check_own, claim
from fedgan.core.words import counted, name_lines
from fedgan.reports.compare import Comparison, compare, draw, readable
from fedgan.reports.run import find_runs
from fedgan.reports.writing import write_picture, write_table
from fedgan.runs.allowlist import Packages

WRITTEN = ("table.csv", "table.md", "table.tex", "runs.csv", "picture.png", "picture.pdf")
WIDEST = 6  # columns on the screen; the files have all


@checked
@dataclass(frozen=True, kw_only=True)
class Settings:
    """Those of conf/compare.yaml."""

    paths: Annotated[
        Sequence[PathText], MinLen(1), Allowed("folders of runs, sweeps or studies, typed ahead of the settings")
    ]
    x: str | None
    by: str | Sequence[str] | None
    metric: str | Annotated[Sequence[str], MinLen(1)] | None
    trust: Packages


def main(cfg: DictConfig) -> None:
    """Write the tables and the picture, show the table, and say where they are."""
    folder = Path(HydraConfig.get().runtime.output_dir)
    plain: Any = OmegaConf.to_container(cfg, resolve=True)
    settings = Settings(**plain)
    by, metrics = ([each] if isinstance(each, str) else each for each in (settings.by, settings.metric))
    folders = [Path(path).expanduser() for path in settings.paths]
    runs = find_runs(folders, settings.trust)
    comparison = compare(runs, settings.x, by, metrics)
    check_own(folder, WRITTEN[0], "hydra.run.dir")
    claim(folder, WRITTEN, "hydra.run.dir")
    shown = readable(comparison)
    write_table(comparison.table, folder / "table", title(len(comparison.runs)), shown)
    atomic_write(folder / "runs.csv", lambda file: comparison.runs.to_csv(file, index=False, lineterminator="\n"))
    pictures = [] if settings.x is None else write_picture(draw(comparison), folder / "picture", dpi=150)
    for line in unfinished(comparison):
        print(f"note: {line}", file=sys.stderr)
    if comparison.mixed:
        print(mixture(comparison), file=sys.stderr)
    show(shown, len(comparison.runs))
    print(report_of(folders), file=sys.stderr)
    print(pictures[0] if pictures else folder / "table.csv")


def unfinished(comparison: Comparison) -> list[str]:
    """The runs that count for nothing, and why."""
    rows = comparison.runs[comparison.runs["status"] != "finished"]
    return [f"{run} is left out: {status}" for run, status in zip(rows["run"], rows["status"], strict=True)]


def mixture(comparison: Comparison) -> str:
    """That runs with different settings are averaged, and how to keep them apart."""
    settings = ", ".join(comparison.mixed)
    by = ",".join((*comparison.by, *comparison.mixed))
    return f"warning: runs that differ in {settings} are averaged; by=[{by}] keeps them apart"


def title(runs: int) -> str:
    """What the table is of.

    Example:
        >>> title(12)
        '12 runs: mean ± standard deviation'
    """
    return f"{counted(runs, 'run')}: mean ± standard deviation"


def show(table: pd.DataFrame, runs: int) -> None:
    """The table's first columns on the screen."""
    made = Table(title=title(runs))
    columns = list(table.columns[:WIDEST])
    for name in columns:
        widest = max(map(len, table[name].astype(str)))
        made.add_column("\n".join(name_lines(str(name))), overflow="fold", min_width=min(14, widest))
    for _, row in table[columns].iterrows():
        made.add_row(*(escape(str(value)) for value in row))
    screen().print(made)
    if len(table.columns) > WIDEST:
        print(f"and {counted(len(table.columns) - WIDEST, 'column')} more in the files", file=sys.stderr)
