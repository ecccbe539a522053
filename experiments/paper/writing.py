"""Results as files, each written whole or not at all."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tabulate import tabulate

from experiments.paper.verdicts import NOT_JUDGED, REVERSED, SHOWN, Comparison, Verdict
from fedgan.core.files import atomic_write, write_table

Row = Mapping[str, Any]


def write_csv(path: Path, rows: Sequence[Row]) -> Path:
    """One line per row, under the first row's names."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_table(path, list(rows[0]), rows)
    return path


def write_text(path: Path, *blocks: str) -> Path:
    """Blocks of text, an empty line between them."""
    text = "\n\n".join(blocks) + "\n"
    return _write(path, lambda file: file.write_text(text) and None)


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


def judged(verdicts: Sequence[Verdict]) -> list[str]:
    """Blocks of Markdown: how many claims there are, a table of them, what was made post hoc."""
    reasons = dict.fromkeys(verdict.claim.post_hoc for verdict in verdicts if verdict.claim.post_hoc)
    post_hoc = [f"† Post hoc: {'; '.join(reasons)}."] if reasons else []
    return [counted(verdicts), markdown(verdict_rows(verdicts)), *post_hoc]


def counted(verdicts: Sequence[Verdict]) -> str:
    """How many claims are made and judged, and how many verdicts stand, alone and together."""
    number = sum(verdict.verdict != NOT_JUDGED for verdict in verdicts)
    alone, together = (
        " and ".join(f"{sum(each == which for each in found)} {which}" for which in (SHOWN, REVERSED))
        for found in ([v.verdict for v in verdicts], [v.after_holm for v in verdicts])
    )
    return (
        f"{len(verdicts)} claims, {number} of them judged. Nominally, at 5 % each: {alone}. "
        f"After Holm's correction over the {number}: {together}."
    )


def verdict_rows(verdicts: Sequence[Verdict]) -> list[Row]:
    """One line per claim."""
    return [
        {
            "claim": f"{verdict.claim.says} †" if verdict.claim.post_hoc else verdict.claim.says,
            "verdict": verdict.verdict,
            "after Holm": verdict.after_holm,
            "metric": verdict.claim.metric,
            "arms": ", ".join(verdict.claim.arms),
            "": verdict.claim.how,
            "compared with": verdict.claim.compared_with,
            "difference": "; ".join(map(_difference, verdict.comparisons)) or "-",
            "95 % interval": "; ".join(map(_interval, verdict.comparisons)) or "-",
            "seeds": ", ".join(dict.fromkeys(str(each.seeds) for each in verdict.comparisons)) or "0",
            "p": _p_value(verdict.p),
            "p after Holm": _p_value(verdict.p_holm),
        }
        for verdict in verdicts
    ]


def _difference(comparison: Comparison) -> str:
    if comparison.successes is None:
        return f"{comparison.difference:.3g}"
    return f"{comparison.successes} of {comparison.seeds} succeed"


def _p_value(p: float | None) -> str:
    return "-" if p is None else f"{p:.2g}" if p >= 0.0001 else "< 0.0001"


def _interval(comparison: Comparison) -> str:
    return "-" if comparison.low is None else f"{comparison.low:.3g} to {comparison.high:.3g}"


def _write(path: Path, write: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    atomic_write(path, write)
    return path
