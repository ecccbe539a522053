"""Charts of runs, drawn by matplotlib, and how they become part of a page that is light or dark."""

import re
import warnings
from collections.abc import Iterable, Mapping, Sequence
from io import StringIO
from itertools import cycle
from textwrap import fill
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from markupsafe import escape
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from fedgan.reports.detail import losses
from fedgan.reports.glossary import entry
from fedgan.reports.run import Run
from fedgan.reports.table import arm_name, setting, spread
from fedgan.reports.words import evaluated

# Colors by what they stand for. A page replaces each by the variable of its style sheet: light or dark.
INK, RULE, MALICIOUS, HONEST, BAND = "#23272e", "#d4d8de", "#c2410c", "#64748b", "#cbd5e1"
SERIES = ("#2563a8", "#0f8a7e", "#7c5ab8", "#8a6d1f", "#b0447f", "#4d7c2f", "#3b8fc4", "#6b7280")
VARIABLES = {INK: "ink", RULE: "rule", MALICIOUS: "accent", HONEST: "honest", BAND: "band"}
VARIABLES |= {color: f"series-{i}" for i, color in enumerate(SERIES)}
DASHES = ("-", "--", ":", "-.")
MOST_LINES = 12  # honest clients that get a line of their own; of more, their median and range are drawn
MOST_CELLS = 24  # clients whose numbers of images are written into the partition's picture
FONTS = ["DejaVu Sans", "Noto Sans CJK SC", "Noto Sans CJK JP", "PingFang SC", "Hiragino Sans", "Microsoft YaHei"]
LABEL, CHARACTER = 130, 0.075  # characters in a line of a legend; inches that one takes
FROM_ZERO = ("weight", "effective_clients", "weight_of_malicious")
STYLE: Any = {  # matplotlib's own type of it lists every key
    "font.family": "sans-serif",
    "font.sans-serif": FONTS,
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.edgecolor": RULE,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": RULE,
    "grid.linewidth": 0.6,
    "xtick.color": INK,
    "ytick.color": INK,
    "text.color": INK,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "lines.linewidth": 1.3,
    "lines.markersize": 4,
    "svg.fonttype": "none",
}


def sheet(columns: int, rows: int = 1, *, height: float = 2.5) -> tuple[Figure, list[Axes]]:
    """A figure and its panels, row by row; ``height`` is a row's, in inches."""
    figure = Figure(figsize=(3.5 * columns + 0.3, height * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False)
    return figure, list(axes.flat)


def client_lines(run: Run) -> Figure:
    """Losses and weights of every client over the rounds; malicious clients dashed in the accent color, flags crosses.

    Of many honest clients the median and the range are drawn.
    """
    with matplotlib.rc_context(STYLE):
        names = [*losses(run), *(["weight"] if run.clients["weight"].notna().any() else [])]
        columns = min(3, len(names))
        figure, axes = sheet(columns, -(-len(names) // columns))
        for each in axes[len(names) :]:
            each.set_visible(False)
        for each, name in zip(axes, names, strict=False):
            lines(each, run.clients, name)
        axes[0].legend(*who(run.clients), loc="best")
    return figure


def lines(axes: Axes, table: pd.DataFrame, name: str) -> None:
    """A column over the rounds, one line per client; malicious clients dashed in color, flags as crosses.

    Args:
        axes: the panel.
        table: one row per client and round: ``round``, ``client``, ``malicious``, ``flagged`` and
        name: the column.
    """
    wide = table.pivot(index="round", columns="client", values=name)
    guilty = set(table.loc[table["malicious"] == 1, "client"])
    honest = [client for client in wide.columns if client not in guilty]
    if len(honest) > MOST_LINES:
        part = wide[honest]
        axes.fill_between(part.index, part.min(axis=1), part.max(axis=1), color=BAND, alpha=0.5, linewidth=0)
        axes.plot(part.index, part.median(axis=1), color=HONEST)
    else:
        for client in honest:
            axes.plot(wide.index, wide[client], color=HONEST, alpha=0.75, **_dots(len(wide)))
    for client in sorted(guilty)[:MOST_LINES]:
        axes.plot(wide.index, wide[client], color=MALICIOUS, linestyle="--", **_dots(len(wide)))
    flagged = table[table["flagged"] == 1]
    for mark, color in ((0, HONEST), (1, MALICIOUS)):
        part = flagged[flagged["malicious"] == mark]
        axes.plot(part["round"], part[name], "x", color=color, markersize=6, markeredgewidth=1.4)
    _of_rounds(axes, name)


def who(table: pd.DataFrame) -> tuple[list[Any], list[str]]:
    """The legend: only for what there is."""
    from matplotlib.lines import Line2D

    many = table.loc[table["malicious"] == 0, "client"].nunique() > MOST_LINES
    found = [(Line2D([], [], color=HONEST), "honest: median and range" if many else "honest")]
    if (table["malicious"] == 1).any():
        found.append((Line2D([], [], color=MALICIOUS, linestyle="--"), "malicious"))
    if (table["flagged"] == 1).any():
        found.append((Line2D([], [], color=INK, marker="x", linestyle=""), "flagged"))
    return [handle for handle, _ in found], [label for _, label in found]


def _dots(rounds: int) -> dict[str, Any]:
    """Markers where there are few rounds: a line through one point is invisible."""
    return {"marker": "o", "markersize": 2.5} if rounds <= 30 else {}


def _of_rounds(axes: Axes, name: str) -> None:
    _titled(axes, name)
    axes.set_xlabel("round")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=7))


def _titled(axes: Axes, name: str) -> None:
    """The metric above; shares between 0 and 1 and weights from 0, or small differences look large."""
    axes.set_title(f"{name} {entry(name).arrow}".strip())
    if entry(name).unit == "share of images":
        axes.set_ylim(-0.03, 1.03)
    elif name in FROM_ZERO:
        axes.set_ylim(0, 1.08 * max(axes.dataLim.y1, 1e-9))


def detection_rates(run: Run) -> Figure:
    """True and false positive rates of the flags over the rounds."""
    with matplotlib.rc_context(STYLE):
        figure, (axes,) = sheet(1)
        table = run.rounds
        dots = _dots(len(table))
        axes.plot(table["round"], table["true_positive_rate"], color=SERIES[1], label="true positive rate", **dots)
        axes.plot(
            table["round"], table["false_positive_rate"], color=SERIES[3], ls=":", label="false positive rate", **dots
        )
        axes.set_ylim(-0.05, 1.05)
        axes.legend()
        _of_rounds(axes, "flags")
    return figure


def partition(run: Run) -> Figure:
    """How many training images of each class each client has: darker is more; malicious clients' names in color."""
    table: Mapping[str, Sequence[int]] = run.record["partition"]
    counts = np.array(list(table.values()))  # (classes, clients)
    guilty = set(run.record.get("malicious") or ())
    few = counts.shape[1] <= MOST_CELLS
    with matplotlib.rc_context(STYLE):
        width = 1.6 + (0.42 * counts.shape[1] if few else 7.0)
        figure = Figure(figsize=(width, 0.9 + 0.36 * min(len(counts), 20)), layout="constrained")
        axes = figure.subplots()
        axes.grid(False)
        axes.pcolormesh(counts, cmap="Blues", vmin=0, vmax=1.6 * max(1, counts.max()), rasterized=not few)
        axes.invert_yaxis()
        axes.set_yticks(np.arange(len(counts)) + 0.5, [_plain(name) for name in table])
        axes.set(xlabel="client")
        if few:
            _cells(axes, counts, guilty)
    return figure


def _cells(axes: Axes, counts: np.ndarray[Any, Any], guilty: set[int]) -> None:
    axes.set_xticks(np.arange(counts.shape[1]) + 0.5, [str(client) for client in range(counts.shape[1])])
    for (row, column), count in np.ndenumerate(counts):
        axes.text(column + 0.5, row + 0.5, str(count), ha="center", va="center", fontsize=8, color="#111111")
    for client, label in enumerate(axes.get_xticklabels()):
        if client in guilty:
            label.set(color=MALICIOUS, fontweight="bold")


def over_rounds(runs: Mapping[str, Run], arms: Mapping[str, str], names: Sequence[str]) -> Figure:
    """Columns of rounds.csv over the rounds, one panel each; one line per run, one color per arm.

    Args:
        runs: by name.
        arms: by run's name, what its line is called; runs of one arm share a color.
        names: of the columns; where a run has none of it there is no line.
    """
    with matplotlib.rc_context(STYLE):
        figure, axes = sheet(min(3, len(names)), -(-len(names) // 3))
        for each in axes[len(names) :]:
            each.set_visible(False)
        looks = styles(arms.values())
        for panel, name in zip(axes, names, strict=False):
            for key, run in runs.items():
                part = run.rounds if name == "effective_clients" else evaluated(run)
                if name in part:
                    line = part[["round", name]].dropna()
                    panel.plot(line["round"], line[name], **looks[arms[key]], **_dots(len(line)))
            _of_rounds(panel, name)
        _legend_below(figure, looks)
    return figure


def styles(arms: Iterable[str]) -> dict[str, dict[str, Any]]:
    """A color and a dash for each arm, in their order."""
    colors, own = cycle(SERIES), list(dict.fromkeys(arms))
    return {arm: {"color": next(colors), "linestyle": DASHES[i % len(DASHES)]} for i, arm in enumerate(own)}


def _legend_below(figure: Figure, looks: Mapping[str, Mapping[str, Any]]) -> None:
    """What each line is; the sheet grows by the legend, which would take its space from the panels or be cut."""
    from matplotlib.lines import Line2D

    if len(looks) > 1:
        handles = [Line2D([], [], **look) for look in looks.values()]
        labels = [_plain(fill(arm, LABEL)) for arm in looks]
        widest = 0.6 + CHARACTER * max(len(line) for label in labels for line in label.split("\n"))
        columns = min(4, len(labels), max(1, int(figure.get_figwidth() / widest)))
        lines = sum(label.count("\n") + 1 for label in labels) / columns
        figure.set_size_inches(max(figure.get_figwidth(), widest), figure.get_figheight() + 0.18 * lines)
        figure.legend(handles, labels, loc="outside lower center", ncols=columns)


def against(table: pd.DataFrame, key: str, lines: Sequence[str], metrics: Sequence[str]) -> Figure:
    """Metrics against a numeric setting: one line per value of ``lines``, mean and standard deviation over runs.

    Args:
        table: one row per run; columns ``key``, ``lines`` and ``metrics``.
        key: the setting.
        lines: columns whose values tell lines apart, the defense first.
        metrics: columns, one panel each.
    """
    with matplotlib.rc_context(STYLE):
        figure, axes = sheet(min(3, len(metrics)), -(-len(metrics) // 3))
        for each in axes[len(metrics) :]:
            each.set_visible(False)
        own = table[table[key].notna()].copy()
        own["line"] = [arm_name({name: row[name] for name in lines}) for _, row in own.iterrows()]
        looks = styles(own["line"])
        means = spread(own, ["line", key], metrics)
        for panel, name in zip(axes, metrics, strict=False):
            for line, look in looks.items():
                part = means[means["line"] == line].dropna(subset=[f"{name}_mean"]).sort_values(key)
                x, y = part[key].astype(float), part[f"{name}_mean"]
                panel.errorbar(x, y, part[f"{name}_std"].fillna(0), marker="o", capsize=2, **look)
            _titled(panel, name)
            panel.set_xlabel(key)
            _at_values(panel, own[key].astype(float))
        _legend_below(figure, looks)
    return figure


def _at_values(panel: Axes, values: "pd.Series[float]") -> None:
    """All values along the axis in every panel; ticks at them where they are few and far enough apart to read."""
    places = np.unique(values)
    if len(places) <= 8 and np.diff(places).min(initial=np.inf) > 0.08 * np.ptp(places):
        panel.set_xticks(places, [f"{place:g}" for place in places])
    room = 0.06 * np.ptp(places)
    panel.set_xlim(places[0] - room, places[-1] + room)


def numeric(runs: Sequence[Run], settings: Sequence[str]) -> list[str]:
    """Those of the settings that are numbers with more than one value.

    Args:
        runs: whose settings they are.
        settings: by full name, as ``varying`` gives them.
    """
    found = []
    for key in settings:
        values = [value for run in runs if (value := setting(run, key)) is not None]
        if all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
            found.append(key)
    return found


def _plain(text: str) -> str:
    """A text that matplotlib takes as it is: no mathematics between dollars."""
    return text.replace("$", r"\$")


def svg(figure: Figure, name: str, caption: str = "") -> str:
    """The figure as part of a page: no header, no link, its colors the page's variables, its text in the page's font.

    Args:
        figure: the chart.
        name: one of its own: what the chart refers to within itself is named after it, apart from other charts'.
        caption: what a screen reader says in its place.
    """
    buffer = StringIO()
    with matplotlib.rc_context({**STYLE, "svg.hashsalt": name}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")  # the reader's browser has it
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    for pattern, instead in CLEANED:
        text = re.sub(pattern, instead, text, flags=re.DOTALL)
    text = re.sub(r"<[^>]+>", lambda tag: re.sub(DECIMALS, r"\1", tag[0]), text)  # a tick's label keeps its digits
    text = re.sub(MARKERS, _styled_once, text)
    for color, variable in VARIABLES.items():
        text = text.replace(color, f"var(--{variable})")
    return text.replace('role="img"', f'role="img" aria-label="{escape(caption)}"', 1)


def _styled_once(found: re.Match[str]) -> str:
    """Markers that look alike, each without its style: of many, most of a chart's length."""
    styles = set(re.findall(r' style="[^"]*"', found[2]))
    if len(styles) > 1:
        return found[0]
    (style,) = styles
    return f"<g{found[1]}{style}>\n{found[2].replace(style, '')}</g>"


MARKERS = r'<g( clip-path="[^"]*"|)>\n((?:<use href="#\w+" x="[\d.]+" y="[\d.]+" style="[^"]*"/>\n)+)</g>'
DECIMALS = r"(\.\d\d)\d+"  # of coordinates: hundredths of a point are enough
CLEANED = (
    (r"<metadata>.*?</metadata>|<style.*?</style>|<!--.*?-->", ""),
    (r' xmlns(:\w+)?="[^"]*"| version="1.1"|(?<=<g) id="[^"]*"', ""),
    (r"xlink:href", "href"),
    (r"font-family: [^;\"]*;? ?", ""),
    (r' transform="rotate\(-0 [^)]*\)"', ""),
    (r'(<svg [^>]*?width="[\d.]+pt") height="[\d.]+pt"', r'\1 role="img"'),
    (r"\s*\n\s*", "\n"),
)
