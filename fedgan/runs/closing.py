"""What a person reads at an evaluation and at the end of a run: metrics with what they have to be read next to."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import mean
from typing import Any, NamedTuple

from rich.markup import escape
from rich.table import Table

from fedgan.core.words import counted
from fedgan.metrics.base import is_whole
from fedgan.runs.folder import MAPS, client_picture
from fedgan.scoring.grid_files import grid_files
from fedgan.scoring.maps import WHOLE

MOST_FOUND = 8  # lines about clients that stood out


class Reading(NamedTuple):
    """A metric, its value with its interval, and what it has to be read next to."""

    name: str
    value: str
    next_to: str


def readings(metrics: Mapping[str, float], facts: Mapping[str, Mapping[str, Any]]) -> list[Reading]:
    """The metrics over all classes.

    Args:
        metrics: as in ``summary.json``: ``<name>``, ``<name>/<class>``, ``<name>_low`` and ``_high`` or ``_se``.
        facts: by metric's option, as there.

    Example:
        >>> readings({"lpips": 0.6, "lpips/a": 0.6, "kid": 0.2}, {"kid": {"kid_floor/a": 0.01, "kid_floor/b": 0.03}})[1]
        Reading(name='kid', value='0.2', next_to='0.02 between real images (floor)')
    """
    known = {key: value for own in facts.values() for key, value in own.items()}
    names = [name for name in metrics if is_whole(name)]
    return [Reading(name, _with_interval(name, metrics), _next_to(name, known)) for name in names]


def one_line(metrics: Mapping[str, float]) -> str:
    """The metrics over all classes with their intervals: for an evaluation within a run, and for a run of a sweep.

    Example:
        >>> one_line({"lpips": 0.61234, "lpips/a": 0.6, "lpips_se": 0.011, "recall": 0.25})
        'lpips 0.6123 ± 0.011  recall 0.25'
    """
    return "  ".join(f"{reading.name} {reading.value}" for reading in readings(metrics, {}))


def closing_table(summary: Mapping[str, Any]) -> Table:
    """The end of a run: its metrics, and what the server did."""
    made = Table.grid(padding=(0, 2))
    rows = [
        *readings(summary["metrics"], summary["facts"]),
        *((name, "absent", reason) for name, reason in summary["absent"].items()),
        *_of_server(summary),
    ]
    for row in rows:
        made.add_row(*map(escape, row))  # [template] is a list of metrics, no style
    return made


def headline(summary: Mapping[str, Any], seconds: float) -> str:
    """Such as ``finished: 18 rounds in 72 s``."""
    return f"finished: {counted(summary['rounds'] + summary['fine_tuning_rounds'], 'round')} in {seconds:.0f} s"


def pictures(folder: Path) -> list[str]:
    """Where a run's newest sample grid is; nothing where there is none."""
    grids = grid_files(folder / "samples")
    return [f"pictures: {grids[max(grids)]}"] if grids else []


def found(summary: Mapping[str, Any], folder: Path | None = None) -> list[str]:
    """A line for each client that stood out to a defense with scores, or one that it has flagged nobody.

    Then one for each defense that has set the generator back.

    Args:
        summary: as in summary.json.
        folder: the run's, to name its pictures; None: names none.
    """
    lines = []
    for name, own in summary.get("scores", {}).items():  # runs of older versions have none
        guilty, flagged = set(summary.get("malicious", ())), own["flagged"]
        known = {each["client"] for each in flagged}
        others = [each for each in own.get("not_flagged", ()) if each["client"] not in known]
        if not flagged:
            map_ = None if others or folder is None else _map(folder, name, own["highest"]["view"])
            look = f"; {map_}" if map_ is not None and map_.is_file() else ""
            lines.append(f"{name}: nobody flagged{_highest(own)}{look}")
        for what, clients in (("flagged", flagged), ("above the threshold, not flagged:", others)):
            for each in clients:
                file = "" if folder is None else _shown(folder, name, each)
                lines.append(f"{name}: {what} {_stood_out(each, each['client'] in guilty)}{file}")
    more = len(lines) - MOST_FOUND
    shown = lines if more <= 0 else [*lines[:MOST_FOUND], f"and {more} more (summary.json, scores)"]
    return [*shown, *_rewound(summary)]


def is_discarded(summary: Mapping[str, Any]) -> bool:
    """Whether the generator was set back after the last round: what that round's clients weighed is in no image."""
    last = summary.get("rounds", 0) - 1
    scores = summary.get("scores", {}).values()
    return any(each["round"] == last for own in scores for each in own.get("rewound", ()))


def _highest(own: Mapping[str, Any]) -> str:
    """How near it was; a client above the threshold is not flagged if the defense only watches or warms up."""
    highest, threshold = own["highest"], own["threshold"]
    if not highest["score"]:
        return "; all scores are 0"
    client, where = f"client {highest['client']}", f"{highest['view']}, round {highest['round']}"
    score = f"{highest['score']:.1f}" + ("" if threshold is None else f" of {threshold:.1f}")
    if threshold is not None and highest["score"] > threshold:
        return f", but {client} was above the threshold: {score} ({where})"
    return f"; highest score {score} ({client}, {where})"


def _rewound(summary: Mapping[str, Any]) -> Iterator[str]:
    for name, own in summary.get("scores", {}).items():
        if rewound := own.get("rewound"):
            steps = ", ".join(f"{counted(each['rounds'], 'round')} after round {each['round']}" for each in rewound)
            left = summary["rounds"] - sum(each["rounds"] for each in rewound)
            trained = f"{left} of {counted(summary['rounds'], 'round')} of training are left" if left else "untrained"
            yield f"{name}: generator set back {steps}: {trained}"


def _stood_out(each: Mapping[str, Any], malicious: bool) -> str:
    first, last, rounds = each["first"], each["last"], each["rounds"]
    span = _span("round", first, last)
    when = span if rounds == last - first + 1 else f"{rounds} of {span}"
    who = f"client {each['client']}{' (malicious)' if malicious else ''}"
    known = each.get("views") or [each]  # runs of older versions name the highest alone
    views = sorted(known, key=lambda view: -view["score"])
    return f"{who} in {when} " + "; ".join(f"by {view['view']}{_where(view)}" for view in views)


def _where(view: Mapping[str, Any]) -> str:
    if view.get("whole"):
        return f", {WHOLE}"
    if view["place"] is None:
        return ""
    top, bottom, left, right = view["place"]
    return f", {_span('row', top, bottom)}, {_span('column', left, right)}"


def _span(what: str, first: int, last: int) -> str:
    return f"{what} {first}" if first == last else f"{what}s {first} to {last}"


def _shown(folder: Path, name: str, each: Mapping[str, Any]) -> str:
    """Where the client's picture is, or else the map."""
    pictures_ = (client_picture(folder, name, each["client"]), _map(folder, name, each["view"]))
    return next((f": {file}" for file in pictures_ if file.is_file()), "")


def _map(folder: Path, name: str, view: str) -> Path:
    return folder / MAPS / name / f"{view}.png"


def _of_server(summary: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    malicious: Sequence[int] = summary["malicious"]
    discarded = "in the last round, whose aggregate was discarded" if is_discarded(summary) else ""
    if summary["effective_clients"] is not None:
        of = f"of {len(summary['weights'])}{f', {discarded}' if discarded else ''}"
        yield "effective clients", f"{summary['effective_clients']:.3g}", of
    if malicious:
        who = f"client{'s' if len(malicious) > 1 else ''} {', '.join(map(str, malicious))}"
        weight = summary["weight_of_malicious"]
        without = "no weight in the last round: it did not take part, or the aggregate has no weights"
        yield (
            f"weight of malicious {who}",
            "-" if weight is None else f"{weight:.3g}",
            without if weight is None else discarded,
        )
    flagged = {client: count for client, count in summary["flag_counts"].items() if count}
    if flagged:
        marked = (f"client {i}{' (malicious)' if int(i) in malicious else ''}: {n}" for i, n in flagged.items())
        yield "flagged", counted(sum(flagged.values()), "time"), ", ".join(marked)
    for name, acted in summary["rounds_acted"].items():
        never = "it changed nothing in this run" if not acted else ""
        yield f"defense {name}", f"acted in {counted(acted, 'round')}", never


def _with_interval(name: str, metrics: Mapping[str, float]) -> str:
    value, low, high = (metrics.get(f"{name}{end}") for end in ("", "_low", "_high"))
    if low is not None and high is not None:
        return f"{value:.4g} [{low:.2g}, {high:.2g}]"
    error = metrics.get(f"{name}_se")
    return f"{value:.4g}" + ("" if error is None else f" ± {error:.2g}")


def _next_to(name: str, facts: Mapping[str, Any]) -> str:
    if f"{name}_false_alarm" in facts:
        return f"{facts[f'{name}_false_alarm']:.2g} on real images (false alarms)"
    floors, images = _by_class(f"{name}_floor", facts), _by_class(f"{name}_floor_images", facts)
    count = f" of {min(images):,} images" if images else ""  # runs of older versions do not say
    return f"{mean(floors):.4g} between real images (floor{count})" if floors else ""


def _by_class(name: str, facts: Mapping[str, Any]) -> list[Any]:
    return [value for key, value in facts.items() if key.startswith(f"{name}/")]
