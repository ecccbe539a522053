"""The scores that defenses give clients, over the rounds, next to the threshold above which they flag."""

from typing import Any

import matplotlib
import pandas as pd
from matplotlib.figure import Figure

from fedgan.reports import figures
from fedgan.reports.detail import has
from fedgan.reports.run import Run

COMPONENT, SCORE = "defense.", "_score"
FAR = 3  # times the threshold: where a score is higher, the axis is logarithmic above the threshold


def scoring(run: Run) -> list[str]:
    """The defenses of a run that report a ``threshold`` and scores (``*_score``) of single clients, by name."""
    if not has(run, "receipts"):
        return []
    table = run.receipts
    scored = table["client"].notna() & table["measure"].str.endswith(SCORE)
    with_threshold = set(table.loc[table["measure"] == "threshold", "component"])
    components = table.loc[scored & table["component"].isin(with_threshold), "component"].unique()
    return [str(each).removeprefix(COMPONENT) for each in components if str(each).startswith(COMPONENT)]


def scores_of(run: Run, defense: str) -> tuple[pd.DataFrame, "pd.Series[Any]"]:
    """A defense's scores and thresholds.

    Args:
        run: that has them.
        defense: its name.

    Returns:
        One row per client and round, with the columns ``round``, ``client``, ``malicious``, ``flagged`` and one for
        each score; and the threshold by round.
    """
    own = run.receipts[run.receipts["component"] == f"{COMPONENT}{defense}"]
    own = own.assign(value=pd.to_numeric(own["value"], errors="coerce"))
    single = own[own["client"].notna() & (own["measure"].str.endswith(SCORE) | (own["measure"] == "flagged"))]
    wide = single.pivot(index=["round", "client"], columns="measure", values="value").reset_index()
    guilty = set(run.record.get("malicious") or ())
    flagged = wide.get("flagged", 0)  # runs of older versions do not say
    table = wide.assign(malicious=wide["client"].isin(guilty).astype(int), flagged=flagged)
    return table, own[own["measure"] == "threshold"].set_index("round")["value"]


def chart(run: Run, defense: str) -> Figure:
    """A panel for each score: one line per client, malicious ones dashed in color, the threshold dotted."""
    table, threshold = scores_of(run, defense)
    names = [str(name) for name in table.columns if str(name).endswith(SCORE)]
    with matplotlib.rc_context(figures.STYLE):
        figure, axes = figures.sheet(min(3, len(names)), -(-len(names) // 3))
        for each in axes[len(names) :]:
            each.set_visible(False)
        for panel, name in zip(axes, names, strict=False):
            figures.lines(panel, table, name)
            panel.plot(threshold.index, threshold, color=figures.INK, linestyle=":", linewidth=1.0)
            if table[name].max() > FAR * threshold.max():
                panel.set_yscale("symlog", linthresh=float(threshold.max()))
            panel.set_title(name.removesuffix(SCORE))
        handles, labels = figures.who(table)
        line = matplotlib.lines.Line2D([], [], color=figures.INK, linestyle=":", linewidth=1.0)
        axes[0].legend([*handles, line], [*labels, "threshold"], loc="best")
    return figure
