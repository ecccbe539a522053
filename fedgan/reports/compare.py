"""Runs of any sweep side by side: a metric's mean and spread by setting, as a table and as curves."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import Annotated, Any

import pandas as pd
from annotated_types import Predicate
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fedgan.core.arguments import Allowed, validated
from fedgan.core.checks import check
from fedgan.metrics.base import is_whole
from fedgan.reports.run import Run
from fedgan.reports.table import runs_table, spread, varying
from fedgan.reports.writing import mean_and_spread

ABOUT = ("run", "status", "seconds", "seed")
MARKERS = "osD^vP*X"


def _has_finished(statuses: Sequence[str]) -> bool:
    return "finished" in statuses


_Statuses = Annotated[Sequence[str], Predicate(_has_finished), Allowed("runs of which at least one is finished")]


@dataclass(frozen=True)
class Comparison:
    """What was found.

    Attributes:
        runs: one row per run, finished or not; see ``runs_table``.
        table: mean, standard deviation and number of finished runs of each metric, by ``x`` and ``by``.
        x: the setting along the axis; None for none.
        by: the settings that tell the curves apart.
        metrics: in the order of the columns.
        mixed: settings besides the seed that vary among the runs and are in neither: runs that differ in them are
            averaged.
    """

    runs: pd.DataFrame
    table: pd.DataFrame
    x: str | None
    by: tuple[str, ...]
    metrics: tuple[str, ...]
    mixed: tuple[str, ...] = ()


def compare(
    runs: Sequence[Run], x: str | None = None, by: Sequence[str] | None = None, metrics: Sequence[str] | None = None
) -> Comparison:
    """Put runs side by side; those that agree in ``x`` and ``by`` are repetitions of each other.

    Args:
        runs: at least one of them finished.
        x: a setting, such as ``attack.size``; None for none.
        by: settings; None: all others that vary.
        metrics: their names; None: those over all classes (without the intervals of single runs), with
            ``effective_clients`` and ``weight_of_malicious``.

    Raises:
        ValueError: in one line, if no run is finished, none has any metric, or none has a setting or a metric that is
            named.
    """
    own = tuple(key for key in (varying(runs) if by is None else by) if key != x)
    keys = ([] if x is None else [x]) + list(own)
    everything = runs_table(runs, keys)
    finished = everything[everything["status"] == "finished"]
    validated("paths", _Statuses, sorted(set(everything["status"])))
    known = [name for name in everything.columns if name not in (*ABOUT, *keys)]
    usual = [name for name in known if is_whole(name)]
    check(bool(usual), "paths", "runs of which at least one has a metric, or weights", "none (metrics=none)")
    chosen = usual if metrics is None else list(metrics)
    for name in chosen:
        allowed = f"one that the runs have ({', '.join(usual)}), or of one class, such as {usual[0]}/CLASS"
        check(name in known, "metric", allowed, name)
    table = spread(finished, keys, chosen) if keys else spread(finished.assign(runs="all"), ["runs"], chosen)
    mixed = tuple(key for key in varying(runs) if key not in keys)
    return Comparison(everything, table, x, own, tuple(chosen), mixed)


def readable(comparison: Comparison) -> pd.DataFrame:
    """The table for people: one row per setting, a column per metric as ``mean ± std``, and the number of runs."""
    table = comparison.table
    keys = [name for name in table.columns if not name.endswith(("_mean", "_std", "_n"))]
    counts = table[[f"{metric}_n" for metric in comparison.metrics]].max(axis=1)
    shown = {
        metric: [
            mean_and_spread(*row)
            for row in zip(table[f"{metric}_mean"], table[f"{metric}_std"], table[f"{metric}_n"], strict=True)
        ]
        for metric in comparison.metrics
    }
    return pd.DataFrame({**{key: table[key].map(_plain) for key in keys}, "runs": counts.astype(int), **shown})


def draw(comparison: Comparison) -> Figure:
    """A panel for each metric: its mean against ``x`` with bars of one standard deviation, a curve for each ``by``."""
    names, x = comparison.metrics, comparison.x
    assert x is not None
    columns = min(3, len(names))
    rows = -(-len(names) // columns)
    figure = Figure(figsize=(4.2 * columns, 3.2 * rows + 0.5), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False)
    for panel, metric in zip(axes.flat, names, strict=False):
        _panel(panel, comparison, metric)
    for panel in axes.flat[len(names) :]:
        panel.remove()
    handles, labels = axes.flat[0].get_legend_handles_labels()
    if len(labels) > 1:
        shape: dict[str, Any] = {"title": ", ".join(comparison.by), "ncols": min(4, len(labels)), "frameon": False}
        figure.legend(handles, labels, loc="outside lower center", **shape)
    counts = sorted({int(n) for name in names for n in comparison.table[f"{name}_n"] if n})
    runs = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    title = "one run each" if counts[-1] == 1 else f"mean and standard deviation over {runs} runs"
    figure.suptitle(title, fontsize=11)
    return figure


def _panel(panel: Axes, comparison: Comparison, metric: str) -> None:
    x, by = str(comparison.x), list(comparison.by)
    groups = comparison.table.groupby(by, dropna=False, sort=True) if by else [((), comparison.table)]
    values = comparison.table[x]
    numeric = pd.api.types.is_numeric_dtype(values)
    places = {value: i for i, value in enumerate(values.unique())}
    for (name, part), marker in zip(groups, cycle(MARKERS)):
        label = ", ".join(_plain(value) for value in (name if isinstance(name, tuple) else (name,)))
        at = part[x] if numeric else part[x].map(places)
        bars = part[f"{metric}_std"].fillna(0.0)
        panel.errorbar(at, part[f"{metric}_mean"], yerr=bars, marker=marker, capsize=3, linewidth=1.2, label=label)
    if numeric:
        panel.set_xticks(sorted(values.dropna().unique()))
    else:
        panel.set_xticks(list(places.values()), [_plain(value) for value in places])
    panel.set_xlabel(x)
    panel.set_title(metric, fontsize=10)
    panel.spines[["top", "right"]].set_visible(False)


def _plain(value: object) -> str:
    """A setting for people: whole numbers without a point (pandas has floats where some are missing).

    Example:
        >>> _plain(8.0), _plain(0.5), _plain("none"), _plain(float("nan"))
        ('8', '0.5', 'none', '-')
    """
    if isinstance(value, float):
        return "-" if pd.isna(value) else f"{value:g}"
    return str(value)
