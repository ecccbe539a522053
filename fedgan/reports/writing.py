"""Tables and pictures as files: CSV for programs, Markdown and LaTeX for texts, PNG and PDF for looking at."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import pandas as pd
from matplotlib.figure import Figure

from fedgan.core.files import atomic_write
from fedgan.reports.blocks import Table
from fedgan.reports.latex import latex


def write_table(table: pd.DataFrame, stem: Path, caption: str, readable: pd.DataFrame | None = None) -> list[Path]:
    """The table as CSV, Markdown and LaTeX (booktabs).

    Args:
        table: its numbers as they are.
        stem: path without a suffix.
        caption: of the table in LaTeX.
        readable: the same for people, for Markdown and LaTeX; None for ``table``.
    """
    shown = table if readable is None else readable
    markdown = shown.to_markdown(index=False, disable_numparse=True, missingval="-") + "\n"
    tex = latex(Table(stem.name, caption, table, shown.fillna("-").astype(str)))
    return [
        _write(stem.with_name(f"{stem.name}.csv"), lambda file: table.to_csv(file, index=False, lineterminator="\n")),
        _write(stem.with_name(f"{stem.name}.md"), lambda file: file.write_text(markdown)),
        _write(stem.with_name(f"{stem.name}.tex"), lambda file: file.write_text(tex)),
    ]


def write_picture(figure: Figure, stem: Path, dpi: float | Literal["figure"] = "figure") -> list[Path]:
    """The picture as PNG (of so many dots per inch) and PDF.

    Neither says when it was made, so that the same picture is the same file.
    """
    png, pdf = stem.with_name(f"{stem.name}.png"), stem.with_name(f"{stem.name}.pdf")
    return [
        _write(png, lambda file: figure.savefig(file, dpi=dpi, metadata={"Software": None})),
        _write(pdf, lambda file: figure.savefig(file, metadata={"CreationDate": None})),
    ]


def mean_and_spread(mean: float, std: float, count: int) -> str:
    """For people, the standard deviation, with two significant digits, where there are several runs.

    Example:
        >>> mean_and_spread(0.4849, 0.4917, 10), mean_and_spread(101.6, float("nan"), 1), mean_and_spread(0, 0, 0)
        ('0.4849 ± 0.49', '101.6', '-')
        >>> mean_and_spread(3.992, 6e-16, 2)  # of rounding
        '3.992 ± 0'
    """
    if not count:
        return "-"
    spread = 0.0 if std <= 1e-12 * abs(mean) else std
    return f"{mean:.4g}" + ("" if pd.isna(std) else f" ± {spread:.2g}")


def _write(path: Path, write: Callable[[Path], Any]) -> Path:
    atomic_write(path, write)
    return path
