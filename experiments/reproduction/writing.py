"""Results as files, each written whole or not at all."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from matplotlib.figure import Figure
from tabulate import tabulate

from experiments.reproduction.verdicts import Verdict
from fedgan.files import atomic_write

Row = Mapping[str, Any]


def cell(values: Sequence[float], digits: int = 3) -> str:
    """Mean and standard deviation for people; a dash where there is nothing.

    Example:
        >>> cell([0.1, 0.3]), cell([0.25]), cell([])
        ('0.200 ± 0.141', '0.250', '-')
    """
    if not values:
        return "-"
    spread = f" ± {stdev(values):.{digits}f}" if len(values) > 1 else ""
    return f"{mean(values):.{digits}f}{spread}"


def write_csv(path: Path, rows: Sequence[Row]) -> Path:
    """A row a line, under the first row's names."""

    def write(file: Path) -> None:
        with file.open("w", newline="") as stream:
            writer = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)

    return _write(path, write)


def write_text(path: Path, *blocks: str) -> Path:
    """Blocks of text, an empty line between them."""
    text = "\n\n".join(blocks) + "\n"
    return _write(path, lambda file: file.write_text(text) and None)


def write_picture(path: Path, figure: Figure) -> list[Path]:
    """The picture as PNG and as PDF; neither says when it was made, so that the same picture is the same file."""
    return [
        _write(path.with_suffix(".png"), lambda file: figure.savefig(file, metadata={"Software": None})),
        _write(path.with_suffix(".pdf"), lambda file: figure.savefig(file, metadata={"CreationDate": None})),
    ]


def markdown(rows: Sequence[Row]) -> str:
    """A table for Markdown."""
    return str(tabulate(rows, headers="keys", tablefmt="github", disable_numparse=True))


def latex(rows: Sequence[Row]) -> str:
    """A table for LaTeX, with booktabs."""
    return str(tabulate(rows, headers="keys", tablefmt="latex_booktabs", disable_numparse=True))


def verdict_rows(verdicts: Sequence[Verdict]) -> list[Row]:
    """A line a claim."""
    return [
        {
            "the paper says": verdict.claim.says,
            "verdict": verdict.verdict,
            "judged by": verdict.claim.figure,
            "difference": "-" if verdict.difference is None else f"{verdict.difference:.3g}",
            "95 % interval": "-" if verdict.low is None else f"{verdict.low:.3g} to {verdict.high:.3g}",
            "seeds": str(verdict.seeds),
        }
        for verdict in verdicts
    ]


def _write(path: Path, write: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    atomic_write(path, write)
    return path
