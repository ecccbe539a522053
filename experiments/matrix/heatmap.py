"""The matrix at a glance: a row for each defense, a column for each attack."""

from collections.abc import Mapping, Sequence
from statistics import mean
from textwrap import fill
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, LogNorm, Normalize
from matplotlib.figure import Figure
from numpy.typing import NDArray

from experiments.matrix.judging import Key, Verdict, number
from experiments.matrix.plan import CONTROL, FRECHET, NONE, attacks, defenses

Row = Mapping[str, Any]
Cells = Mapping[Key, Sequence[Row]]
Grid = NDArray[np.float64]  # (defenses, attacks), NaN where there is nothing
MOST = 4.0  # Frechet distance over its control's: the end of the colors
_WIDE = 12  # letters of a title above one column
MISSING = "#e4e4e4"
COLORS = {"share": "Reds", "ratio": "PuOr_r"}


def draw(data: str, cells: Cells, verdicts: Mapping[Key, Verdict]) -> Figure:
    """The price of each defense, the success of attacks with a detector, and what the others do to the images.

    Attacks and defenses without a run have no column and no row.
    """
    rows, columns = tried(data, verdicts)
    kinds = {a.name: _kind(a.name, a.metric) for a in attacks(data) if a.name in columns}
    names = {kind: [name for name in kinds if kinds[name] == kind] for kind in ("price", "share", "ratio")}
    panels = {kind: own for kind, own in names.items() if own}
    widths = [len(own) for own in panels.values()]
    figure = Figure(figsize=(max(8.0, 3.2 + 0.62 * sum(widths)), 2.4 + 0.36 * len(rows)), layout="constrained")
    axes = figure.subplots(1, len(panels), sharey=True, squeeze=False, width_ratios=widths)[0]
    for panel, (kind, own) in zip(axes, panels.items(), strict=True):
        _panel(panel, kind, (rows, own), data, cells, verdicts)
    axes[0].set_yticks(range(len(rows)), ["no defense" if name == NONE else name for name in rows])
    runs = sorted({each.runs for each in verdicts.values() if each.runs})
    seeds = "1 seed" if runs == [1] else f"{'-'.join(map(str, dict.fromkeys((runs[0], runs[-1]))))} seeds"
    below = "below: in how many of those judged the attack succeeds; gray: no run"
    figure.suptitle(f"{data}: means over {seeds}\n{below}", fontsize=10)
    return figure


def tried(data: str, verdicts: Mapping[Key, Verdict]) -> tuple[list[str], list[str]]:
    """The defenses and the attacks, ``none`` and ``control`` among them, that have a run on some images."""
    with_runs = [key for key, each in verdicts.items() if each.runs]
    rows, columns = {NONE} | {key[2] for key in with_runs}, {CONTROL} | {key[1] for key in with_runs}
    return [name for name in defenses() if name in rows], [a.name for a in attacks(data) if a.name in columns]


def _kind(name: str, metric: str) -> str:
    return "price" if name == CONTROL else "ratio" if metric == FRECHET else "share"


def _panel(
    axes: Axes,
    kind: str,
    shown: tuple[Sequence[str], Sequence[str]],
    data: str,
    cells: Cells,
    verdicts: Mapping[Key, Verdict],
) -> None:
    rows, names = shown
    values = grid(kind, names, data, cells, rows)
    norm: Normalize = Normalize(0, 1) if kind == "share" else LogNorm(1 / MOST, MOST)
    colors = mpl.colormaps[COLORS["share" if kind == "share" else "ratio"]].with_extremes(bad=MISSING)
    axes.imshow(np.ma.masked_invalid(values), cmap=colors, norm=norm, aspect="auto")
    titles = {
        "price": "nobody attacks",
        "share": "images in which the attack's detector finds it",
        "ratio": "Frechet distance over its control's",
    }
    axes.set_title(fill(titles[kind], _WIDE * len(names)), fontsize=9)
    labels = ["Frechet\ndistance"] if kind == "price" else names
    axes.set_xticks(range(len(names)), labels, rotation=45, ha="right", rotation_mode="anchor", fontsize=8)
    axes.tick_params(length=0, labelsize=8)
    axes.spines[:].set_visible(False)
    axes.set_xticks(np.arange(len(names) + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(len(rows) + 1) - 0.5, minor=True)
    axes.grid(which="minor", color="white", linewidth=1.5)
    axes.tick_params(which="minor", length=0)
    for row, defense in enumerate(rows):
        for column, attack in enumerate(names):
            key = (data, attack, defense)
            text = _text(kind, values[row, column], cells.get(key, ()), verdicts[key])
            dark = _is_dark(colors, norm, values[row, column])
            axes.text(column, row, text, ha="center", va="center", fontsize=7, color="white" if dark else "black")


def grid(kind: str, names: Sequence[str], data: str, cells: Cells, rows: Sequence[str] | None = None) -> Grid:
    """What is colored, (rows, names), NaN where there is nothing; rows: defenses, all of them by default.

    Of ``share`` the mean success; of ``ratio`` the mean over seeds of the Frechet distance over the control's; of
    ``price`` the mean Frechet distance of the control over that of the control without defense.
    """
    free = _mean(cells.get((data, CONTROL, NONE), ()), "frechet")
    rows = defenses() if rows is None else rows
    found = np.full((len(rows), len(names)), np.nan)
    for row, defense in enumerate(rows):
        for column, attack in enumerate(names):
            own = cells.get((data, attack, defense), ())
            value = _ratio(own) if kind == "ratio" else _mean(own, "frechet" if kind == "price" else "success")
            scale = free if kind == "price" else 1.0
            found[row, column] = np.nan if value is None or scale is None else value / scale
    return found


def _mean(rows: Sequence[Row], name: str) -> float | None:
    known = [value for row in rows if (value := number(row[name])) is not None]
    return mean(known) if known else None


def _ratio(rows: Sequence[Row]) -> float | None:
    pairs = [(number(row["success"]), number(row["control"])) for row in rows]
    ratios = [own / control for own, control in pairs if own is not None and control]
    return mean(ratios) if ratios else None


def _text(kind: str, value: float, rows: Sequence[Row], found: Verdict) -> str:
    """The value, and below it in how many of the judged seeds the attack succeeds."""
    if kind == "price":
        distance = _mean(rows, "frechet")
        return "" if distance is None else f"{distance:.0f}"
    counted = f"\n{found.hits} of {found.judged}" if found.judged else "\nnot judged" if found.runs else ""
    return "" if np.isnan(value) and not found.runs else f"{'-' if np.isnan(value) else f'{value:.2f}'}{counted}"


def _is_dark(colors: Colormap, norm: Normalize, value: float) -> bool:
    red, green, blue, _ = colors(norm(value)) if not np.isnan(value) else (1.0, 1.0, 1.0, 1.0)
    return bool(0.3 * red + 0.59 * green + 0.11 * blue < 0.5)
