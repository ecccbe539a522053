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
from experiments.transfer.plan import CONTROL, control_of, read_plan
from fedgan.core.files import atomic_write
from fedgan.reports.figures import HONEST, MALICIOUS, STYLE

Row = Mapping[str, Any]
SIZES, SHARES = (2, 4, 8), (0.2, 0.5, 1.0)
DEFENSES = ("", "feddetect", "median", "flame", "generator_audit")


def write(rows: Sequence[Row], folder: Path) -> list[Path]:
    """The claims, the settings and the picture."""
    present = [data for data in images.names() if any(row["data"] == data for row in rows)]
    own = read_plan()["settings"]
    verdicts = [
        judged(each, rows, data) for each in claims() for data in present if own[each.setting].get("data", data) == data
    ]
    attacked = [name for name in own if not name.startswith(CONTROL)]
    names = dict.fromkeys(name for each in attacked for name in (control_of(each), each))
    lines = [_line(rows, data, name) for data in present for name in names if by_seed(rows, data, name)]
    picture = folder / "transfer.png"
    figure = draw(rows, present)
    atomic_write(picture, lambda path: figure.savefig(path, dpi=130, metadata={"Software": None}))
    claimed, listed = markdown(verdicts), markdown(lines)
    return [write_text(folder / "claims.md", claimed), write_text(folder / "settings.md", listed), picture]


def _line(rows: Sequence[Row], data: str, setting: str) -> dict[str, str]:
    """A setting in numbers: means over seeds, and the gain over its control with a 95 % interval."""
    own = {name: by_seed(rows, data, setting, name) for name in ("changed", "accuracy", "emission", "frechet")}
    added = {} if setting.startswith(CONTROL) else gain(rows, data, setting)
    return {
        "data": data,
        "setting": setting,
        "seeds": str(len(own["changed"])),
        "answers changed": _mean(own["changed"]),
        "more than in the control": _spread(added),
        "accuracy of the classifier": _mean(own["accuracy"]),
        "images with the trigger": _mean(own["emission"]),
        "Frechet distance": f"{mean(own['frechet'].values()):.1f}",
    }


def _mean(values: BySeed) -> str:
    return f"{mean(values.values()):.3f}"


def _spread(values: BySeed) -> str:
    if len(values) < 2:
        return "-"
    low, high = interval(list(values.values()))
    return f"{mean(values.values()):.3f} ({low:.3f} to {high:.3f})"


def draw(rows: Sequence[Row], present: Sequence[str]) -> Figure:
    """Answers that the trigger changes, attacked and not: by size on each data set, by share and defense on X-rays."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(3.1 * (len(present) + 2), 3.2), layout="constrained")
        panels = list(figure.subplots(1, len(present) + 2, sharey=True))
        for axes, data in zip(panels, present, strict=False):
            _curve(axes, rows, data, [str(s) for s in SIZES], [f"size{s}" for s in SIZES])
            axes.set(title=f"{data}, all images of class 1", xlabel="side of the patch in pixels of 32")
        by_share = [f"size8_share{100 * s:.0f}".removesuffix("_share100") for s in SHARES]
        by_defense = [f"size8_{name}".rstrip("_") for name in DEFENSES]
        _curve(panels[-2], rows, "chest", [f"{s:g}" for s in SHARES], by_share)
        panels[-2].set(title="chest, 8 px", xlabel="share of the attacker's images of class 1")
        _curve(panels[-1], rows, "chest", [name.replace("_", "\n") or "none" for name in DEFENSES], by_defense)
        panels[-1].set(title="chest, 8 px", xlabel="defense")
        panels[0].set(ylabel="answers changed by the patch\n(real test images of class 0)", ylim=(-0.02, 1.02))
        panels[0].legend(frameon=False)
    return figure


def _curve(axes: Axes, rows: Sequence[Row], data: str, labels: Sequence[str], names: Sequence[str]) -> None:
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
    axes.set_xticks(range(len(labels)), labels)
    axes.set_xlim(-0.5, len(labels) - 0.5)
