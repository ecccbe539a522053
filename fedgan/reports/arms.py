"""Runs by name and by arm: what they are called, what sets them apart, what each arm scores."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from fedgan.reports.blocks import Table, shown
from fedgan.reports.glossary import companions, entry, leading, reference
from fedgan.reports.run import Run
from fedgan.reports.table import arm_name, results, runs_table, settings_of, spread, varying
from fedgan.reports.words import absent, facts_of


def named(runs: Sequence[Run]) -> dict[str, Run]:
    """Runs by a name of their own: the path below the folder that has them all; of one run its folder's name."""
    places = [run.folder.resolve() for run in runs]
    above = Path(os.path.commonpath(places)) if len(places) > 1 else places[0].parent
    return {str(place.relative_to(above)): run for place, run in zip(places, runs, strict=True)}


def arms_of(runs: Sequence[Run], settings: Sequence[str]) -> list[str]:
    """What sets each run's arm apart; see ``arm_name``."""
    values = {key: settings_of(runs, key) for key in settings}
    return [arm_name({key: own[i] for key, own in values.items()}) for i in range(len(runs))]


def overview(runs: Mapping[str, Run]) -> Table:
    """One row per run: what varies, how it ended, its metrics."""
    frame = runs_table(list(runs.values()))
    frame = frame[[name for name in frame.columns if "/" not in name]].assign(run=list(runs))
    display = frame[[name for name in frame.columns if name not in companions()]].map(shown)
    caption = "One row per run: the settings that differ, then the metrics at the end; means over classes."
    return Table("runs", caption, frame, display)


def settings_table(runs: Mapping[str, Run]) -> Table:
    """Every setting of config.yaml, once where all runs agree."""
    tables = [_flat(run.settings) for run in runs.values()]
    keys = list(dict.fromkeys(key for table in tables for key in table))
    rows = []
    for key in keys:
        found = list(dict.fromkeys(table[key] for table in tables if key in table))
        missing = sum(key not in table for table in tables)
        value = found[0] if len(found) == 1 else f"differs: {', '.join(found[:6])}{', ...' if len(found) > 6 else ''}"
        rows.append({"setting": key, "value": value + (f" (in {len(tables) - missing} runs)" if missing else "")})
    return Table("settings", "Every setting, resolved (config.yaml).", pd.DataFrame(rows))


def _flat(node: Any, key: str = "") -> dict[str, str]:
    if isinstance(node, Mapping) and node:
        parts = [_flat(inner, f"{key}.{name}" if key else str(name)) for name, inner in node.items()]
        return {name: value for part in parts for name, value in part.items()}
    text = yaml.safe_dump(node, default_flow_style=True, allow_unicode=True, width=10_000)
    return {key: text.removesuffix("\n").removesuffix("\n...")}


def scored(runs: Sequence[Run]) -> list[str]:
    """The metrics that the runs have, means over classes, in the order of the glossary."""
    return leading(dict.fromkeys(name for run in runs for name in results(run)))


def scores(runs: Mapping[str, Run]) -> Table | None:
    """Per arm the mean, standard deviation and number of runs of each metric; None if no run has a metric.

    Runs of an arm differ in nothing but the seed. Of an arm with one run the interval or the standard error stands in
    place of the deviation, where the metric has one. Below is what each value has to be compared with.
    """
    everything = list(runs.values())
    settings = varying(everything)
    table = runs_table(everything, settings)
    metrics = scored(everything)
    if not metrics:
        return None
    table["arm"] = arms_of(everything, settings)
    frame = spread(table, ["arm"], metrics)
    order = list(dict.fromkeys(table["arm"]))
    frame = frame.set_index("arm").loc[order].reset_index()
    cells = [_row(arm, table[table["arm"] == arm], runs, metrics) for arm in order]
    caption = (
        "Per arm: mean ± standard deviation over runs that differ only in their seed (n runs); of one run the 95 % "
        "interval in brackets, or ± its standard error, where the metric has one. In the second line what the value "
        "has to be compared with."
    )
    return Table("metrics", caption, frame, pd.DataFrame(cells))


def _row(arm: str, table: pd.DataFrame, runs: Mapping[str, Run], metrics: Sequence[str]) -> dict[str, str]:
    folders = set(table["run"])
    own = [run for run in runs.values() if str(run.folder) in folders]
    row = {"arm": arm, "runs": f"{sum(run.status == 'finished' for run in own)} of {len(own)}"}
    for name in metrics:
        floors = [value for run in own if (value := reference(name, facts_of(run))) is not None]
        about = f"\n{entry(name).of}: {shown(sum(floors) / len(floors))}" if floors else ""
        score = cell(table, name)
        row[f"{name} {entry(name).arrow}".strip()] = score + (about if score != "–" else "")
    return row


def cell(table: pd.DataFrame, name: str) -> str:
    """One metric of one arm: ``0.9812 ± 0.021 (n = 3)``; of a single run with its interval or standard error."""
    found = table[name].dropna()
    if found.empty:
        return "–"
    if len(found) > 1:
        mean, deviation = float(found.mean()), float(found.std())
        deviation = deviation if deviation > 1e-9 * abs(mean) else 0.0  # of equal values: what rounding leaves
        return f"{shown(mean)} ± {shown(float(f'{deviation:.2g}'))} (n = {len(found)})"
    about, row = entry(name), table.loc[found.index[0]]
    value = shown(float(found.iloc[0]))
    low, high, error = (row.get(str(part)) for part in (about.low, about.high, about.error))
    if low is not None and high is not None and low == low:
        return f"{value} [{shown(float(low))}, {shown(float(high))}]"
    return f"{value} ± {shown(float(error))} (SE)" if error is not None and error == error else value


def explained(metrics: Sequence[str]) -> Table:
    """What each of the metrics means."""
    rows = [_explained(name) for name in metrics]
    return Table("meanings", "What the metrics mean; ↓ lower is better, ↑ higher is better.", pd.DataFrame(rows))


def _explained(name: str) -> dict[str, str]:
    about = entry(name)
    return {
        "metric": f"{name} {about.arrow}".strip(),
        "unit": about.unit,
        "is": about.meaning or "A metric that fedgan has no words for.",
        "compare with": about.of,
    }


def reasons(runs: Mapping[str, Run]) -> Table | None:
    """Which metrics are absent, and why; None if none is."""
    found: dict[tuple[str, str], list[str]] = {}
    for name, run in runs.items():
        for metric, why in absent(run).items():
            found.setdefault((metric, why), []).append(name)
    rows = [
        {"metric": metric, "why it has no value": why, "runs": len(names)} for (metric, why), names in found.items()
    ]
    return Table("absent", "Metrics that have no value.", pd.DataFrame(rows)) if rows else None
