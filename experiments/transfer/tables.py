"""Tables and the picture of the study from results/transfer/runs.csv alone."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments import images
from experiments.paper.inference import interval
from experiments.paper.writing import markdown, write_text
from experiments.transfer.judging import BySeed, by_seed, claims, gain, judged
from experiments.transfer.plan import CONTROL, control_of, planned, read_plan
from fedgan.core.files import atomic_write
from fedgan.reports.figures import HONEST, MALICIOUS, STYLE

Row = Mapping[str, Any]
# The picture's panels: by which label the settings are, and the settings at its ticks.
COLUMNS = {
    "side of the patch, in pixels of 32": {"2": "size2", "4": "size4", "8": "size8"},
    "poisoned share of the attacker's class 1 (8 px)": {"0.2": "size8_share20", "0.5": "size8_share50", "1": "size8"},
    "defense (8 px)": {
        "none": "size8",
        "feddetect": "size8_feddetect",
        "median": "size8_median",
        "flame": "size8_flame",
        "generator\naudit": "size8_generator_audit",
    },
}


def write(rows: Sequence[Row], folder: Path) -> list[Path]:
    """The claims, the settings and the picture."""
    present = [data for data in images.names() if any(row["data"] == data for row in rows)]
    verdicts = [
        judged(each, rows, data)
        for each in claims()
        for data in present
        if each.setting in planned(data) and each.data in (None, data)
    ]
    attacked = [name for name in read_plan()["settings"] if not name.startswith(CONTROL)]
    names = dict.fromkeys(name for each in attacked for name in (control_of(each), each))
    lines = [_line(rows, data, name) for data in present for name in names if by_seed(rows, data, name)]
    picture = folder / "transfer.png"
    figure = draw(rows, present)
    atomic_write(picture, lambda path: figure.savefig(path, dpi=130, metadata={"Software": None}))
    claimed, listed = markdown(verdicts), markdown(lines)
    return [write_text(folder / "claims.md", claimed), write_text(folder / "settings.md", listed), picture]


def _line(rows: Sequence[Row], data: str, setting: str) -> dict[str, str]:
    """A setting in numbers: means over seeds, and the gain over its control with a 95 % interval."""
    own = {name: by_seed(rows, data, setting, name) for name in ("changed", "accuracy", "recognized", "emission")}
    added = {} if setting.startswith(CONTROL) else gain(rows, data, setting)
    return {
        "data": data,
        "setting": setting,
        "seeds": str(len(own["changed"])),
        "answers changed": _mean(own["changed"]),
        "more than in the control": _spread(added),
        "balanced accuracy": _mean(own["accuracy"]),
        "class 1 recognized": _mean(own["recognized"]),
        "images with the trigger": _mean(own["emission"]),
    }


def _mean(values: BySeed) -> str:
    return f"{mean(values.values()):.3f}"


def _spread(values: BySeed) -> str:
    if len(values) < 2:
        return "-"
    low, high = interval(list(values.values()))
    return f"{mean(values.values()):.3f} ({low:.3f} to {high:.3f})"


def draw(rows: Sequence[Row], present: Sequence[str]) -> Figure:
    """Answers that the patch changes, attacked and not: a row of panels for each data set."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(11, 3.1 * len(present)), layout="constrained")
        panels = figure.subplots(len(present), len(COLUMNS), sharey=True, squeeze=False)
        for line, data in zip(panels, present, strict=True):
            for axes, (label, settings) in zip(line, COLUMNS.items(), strict=True):
                own = {tick: name for tick, name in settings.items() if name in planned(data)}
                if len(own) == 1:
                    axes.axis("off")
                    continue
                _curve(axes, rows, data, list(own), list(own.values()))
                axes.set(title=data, xlabel=label, ylim=(-0.02, 1.02))
            line[0].set(ylabel="answers changed by the patch\n(real test images of class 0)")
        panels[0][0].legend(frameon=False, loc="upper left")
    return figure


def _curve(axes: Axes, rows: Sequence[Row], data: str, ticks: Sequence[str], names: Sequence[str]) -> None:
    """Means with 95 % intervals, attacked and in the control; what has no two runs is left out."""
    controls = [control_of(name) for name in names]
    for shift, own, color, label in ((-0.06, controls, HONEST, "nobody attacks"), (0.06, names, MALICIOUS, "attacked")):
        found = {i: list(by_seed(rows, data, name).values()) for i, name in enumerate(own)}
        there = {i: values for i, values in found.items() if len(values) > 1}
        middle = [mean(values) for values in there.values()]
        ends = [interval(values) for values in there.values()]
        errors = [
            [m - low for m, (low, _) in zip(middle, ends, strict=True)],
            [high - m for m, (_, high) in zip(middle, ends, strict=True)],
        ]
        axes.errorbar([i + shift for i in there], middle, errors, fmt="o", color=color, capsize=2, label=label)
    axes.set_xticks(range(len(ticks)), ticks)
    axes.set_xlim(-0.5, len(ticks) - 0.5)
