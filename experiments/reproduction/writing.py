"""Results as files, each written whole or not at all."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from tabulate import tabulate

from experiments.reproduction.verdicts import Comparison, Verdict
from fedgan.files import atomic_write

Row = Mapping[str, Any]


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


def latex(rows: Sequence[Row], caption: str) -> str:
    """A table for LaTeX, with booktabs and graphicx."""
    body = str(tabulate(rows, headers="keys", tablefmt="latex_booktabs", disable_numparse=True))
    lines = (
        r"\begin{table}",
        rf"\caption{{{escaped(caption)}}}",
        r"\resizebox{\textwidth}{!}{%",
        body + "}",
        r"\end{table}",
    )
    return "\n".join(lines)


def escaped(text: str) -> str:
    r"""A text for LaTeX.

    Example:
        >>> print(escaped("95 % of `a_b`"))
        95 \% of `a\_b`
    """
    return "".join(f"\\{character}" if character in "%_&#$" else character for character in text)


def verdict_rows(verdicts: Sequence[Verdict]) -> list[Row]:
    """A line a claim."""
    return [
        {
            "claim": verdict.claim.says,
            "verdict": verdict.verdict,
            "figure": verdict.claim.figure,
            "arms": ", ".join(verdict.claim.arms),
            "": verdict.claim.how,
            "compared with": verdict.claim.compared_with,
            "difference": "; ".join(f"{each.difference:.3g}" for each in verdict.comparisons) or "-",
            "95 % interval": "; ".join(map(_interval, verdict.comparisons)) or "-",
            "seeds": ", ".join(dict.fromkeys(str(each.seeds) for each in verdict.comparisons)) or "0",
        }
        for verdict in verdicts
    ]


def _interval(comparison: Comparison) -> str:
    return "-" if comparison.low is None else f"{comparison.low:.3g} to {comparison.high:.3g}"


def _write(path: Path, write: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    atomic_write(path, write)
    return path
