"""Tables and the ROC curves of the study, from results/audit/federations.csv alone."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import cache
from itertools import cycle, product
from pathlib import Path
from statistics import median
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from experiments import images
from experiments.audit.judging import claims, judged, round_found
from experiments.audit.plan import rounds
from experiments.audit.replay import EQUALIZED
from experiments.measures import AUDIT
from experiments.paper.inference import share_interval
from experiments.paper.writing import markdown, write_text
from fedgan.defenses.audit.generator_audit import GeneratorAudit

Row = Mapping[str, Any]
_CONTROL = "control"  # how the names of settings in which nobody attacks begin


def by_setting(rows: Sequence[Row]) -> list[dict[str, str]]:
    """False alarms of every detector in each setting, and how soon it finds the attackers.

    At most (N - 1) / 2 clients are flagged at once, so next to an attacker an honest client may stay unflagged whatever
    its score. Where the audit has another number of federations in which an honest client's score is above the
    threshold than of those in which one is flagged, it follows as ``above``.
    """
    groups = defaultdict[tuple[str, str, str], list[Row]](list)
    for row in rows:
        groups[row["data"], row["setting"], row["detector"]].append(row)
    return [_summary(*key, own) for key, own in sorted(groups.items())]


def _summary(data: str, setting: str, detector: str, rows: Sequence[Row]) -> dict[str, str]:
    alarms, count = sum(int(row["honest"]) > 0 for row in rows), len(rows)
    scores = [float(row["highest"]) for row in rows if row["highest"] not in ("", None)]
    above = sum(score > _threshold() for score in scores) if scores else alarms
    found = [seen for row in rows if (seen := round_found(row)) is not None]
    emission = [float(row["emission"]) for row in rows if row["emission"] not in ("", None)]
    return {
        "data": data,
        "setting": setting,
        "detector": detector,
        "false alarms": f"{alarms} of {count} ({_range(alarms, count)})" + f", {above} above" * (above != alarms),
        "found": "-" if setting.startswith(_CONTROL) else f"{len(found)} of {count} ({_range(len(found), count)})",
        "median round": f"{median(found):g}" if found else "-",
        "honest flagged": f"{sum(float(row['weight']) for row in rows) / count:.1%}",
        "trigger in images": f"{median(emission):.3f}" if emission else "-",
    }


@cache
def _threshold() -> float:
    """Of the audit, in a federation of the study."""
    return GeneratorAudit().threshold_for(rounds())


def _range(hits: int, count: int) -> str:
    low, high = share_interval(hits, count)
    return f"{100 * low:.0f} to {100 * high:.0f} %"


def in_pairs(rows: Sequence[Row]) -> list[dict[str, str]]:
    """The audit without and with ``equalize`` on the same recordings, by setting, those with both alone."""
    audits = {
        detector: {(row["data"], row["setting"], row["seed"]): row for row in rows if row["detector"] == detector}
        for detector in (AUDIT, EQUALIZED)
    }
    groups = defaultdict[tuple[str, str], list[tuple[Row, Row]]](list)
    for key in sorted(audits[AUDIT].keys() & audits[EQUALIZED].keys()):
        groups[key[0], key[1]].append((audits[AUDIT][key], audits[EQUALIZED][key]))
    return [_pair(*names, own) for names, own in groups.items()]


def _pair(data: str, setting: str, pairs: Sequence[tuple[Row, Row]]) -> dict[str, str]:
    rounds = [[round_found(row) for row in pair] for pair in pairs]
    later = [new - old for old, new in rounds if old is not None and new is not None]
    alarms = [sum(int(pair[i]["honest"]) > 0 for pair in pairs) for i in (0, 1)]
    found = [sum(pair[i] is not None for pair in rounds) for i in (0, 1)]
    control = setting.startswith(_CONTROL)
    return {
        "data": data,
        "setting": setting,
        "federations": str(len(pairs)),
        "false alarms, without and with": f"{alarms[0]}, {alarms[1]}",
        "found, without and with": "-" if control else f"{found[0]}, {found[1]}",
        "rounds later (median of those found by both)": f"{median(later):g}" if later else "-",
    }


def write(rows: Sequence[Row], folder: Path) -> list[Path]:
    """The claims, the settings, ``equalize`` in pairs and the ROC curves."""
    verdicts = [judged(claim, rows) for claim in claims()]
    return [
        write_text(folder / "claims.md", markdown(verdicts)),
        write_text(folder / "settings.md", markdown(by_setting(rows))),
        write_text(folder / "equalized.md", markdown(in_pairs(rows))),
        roc(rows, folder / "roc.png"),
    ]


def curve(attacked: Sequence[float], controls: Sequence[float]) -> tuple[list[float], list[float]]:
    """Shares of controls and of attacked federations whose highest score is at or above each threshold.

    Example:
        >>> curve([3.0, 5.0], [1.0, 4.0])
        ([0.0, 0.0, 0.5, 0.5, 1.0], [0.0, 0.5, 0.5, 1.0, 1.0])
    """
    cuts = [float("inf"), *sorted({*attacked, *controls}, reverse=True)]
    return ([_above(controls, cut) for cut in cuts], [_above(attacked, cut) for cut in cuts])


def _misses(line: tuple[list[float], list[float]]) -> bool:
    """Whether a curve leaves the upper left corner: some attacker is not above every control.

    Example:
        >>> _misses(curve([3.0, 5.0], [1.0, 4.0])), _misses(curve([5.0, 6.0], [1.0, 4.0]))
        (True, False)
    """
    return not any(false == 0 and found == 1 for false, found in zip(*line, strict=True))


def _above(scores: Sequence[float], cut: float) -> float:
    return sum(score >= cut for score in scores) / len(scores)


def roc(rows: Sequence[Row], path: Path) -> Path:
    """How often attackers pass the score that the highest client of so many controls passes, for each attack.

    Of attacks whose every attacker is above every control there is one line, the upper edge.
    """
    own = [row for row in rows if row["detector"] == AUDIT and row["highest"] not in ("", None)]
    figure = Figure(figsize=(9, 4.8), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    every = sorted({row["setting"] for row in own if row["attacker"] not in ("", None)})
    curves: dict[tuple[str, str], tuple[int, tuple[list[float], list[float]]]] = {}
    counts = {}
    for data, name in product(images.names(), every):
        controls = [float(row["highest"]) for row in own if (row["data"], row["setting"]) == (data, _CONTROL)]
        attacked = [float(row["attacker"]) for row in own if (row["data"], row["setting"]) == (data, name)]
        counts[data] = len(controls)
        if controls and attacked:
            curves[data, name] = (len(attacked), curve(attacked, controls))
    missed = {name for (_, name), (_, line) in curves.items() if _misses(line)}
    colors = dict(zip(sorted(missed), cycle(mpl.colormaps["tab10"].colors), strict=False))  # type: ignore[attr-defined]
    for axes, data in zip(panels, images.names(), strict=True):
        shown = {name: curves[data, name] for name in every if (data, name) in curves}
        perfect = [name for name, (_, line) in shown.items() if not _misses(line)]
        if perfect:
            axes.step([0, 0, 1], [0, 1, 1], where="post", color="black", label=f"{len(perfect)} other settings")
        for name, (count, line) in shown.items():
            if name not in perfect:
                axes.step(*line, where="post", label=f"{name.replace('_', ' ')} ({count})", color=colors[name])
        axes.set(title=f"{data}, {counts.get(data, 0)} controls", xlabel="controls with an alarm", xlim=(-0.02, 1.02))
    panels[0].set_ylabel("federations in which the attackers are found")
    for axes in panels:
        if axes.lines:
            axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=3, frameon=False, fontsize=8)
    figure.savefig(path, dpi=120)
    return path
