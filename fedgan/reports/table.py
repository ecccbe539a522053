"""Several runs as one table: what varies between them, how each ended, and its metrics; one row per run."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from fedgan.reports.run import Run

# Settings of where and how a run is carried out; they do not change what is trained.
INCIDENTAL = ("logger", "resume", "root", "trust", "trainer", "checkpoint", "hydra", "name", "objective")
GROUPS_OF_SEVERAL = ("defense", "metrics")
RESULTS = ("effective_clients", "weight_of_malicious")


def setting(run: Run, key: str) -> Any:
    """A run's setting; of a group, what is chosen: ``white_square``, ``feddetect+median`` or ``none``.

    Args:
        run: the run.
        key: its full name, such as ``attack.size`` or ``defense``.

    Returns:
        The value; None where the run has no such setting, such as ``attack.size`` without an attack.
    """
    node: Any = run.settings
    for part in key.split("."):
        if not isinstance(node, Mapping) or part not in node:
            return None
        node = node[part]
    if key in GROUPS_OF_SEVERAL:
        return "+".join(map(str, node)) or "none"
    if isinstance(node, Mapping) and "_target_" in node:
        return chosen(str(node["_target_"]))
    return str(node) if isinstance(node, Mapping | list) else node


def chosen(target: str) -> str:
    """The choice that a class stands for: the name of its module; ``none`` for a group's base class.

    Example:
        >>> chosen("fedgan.attacks.white_square.WhiteSquare"), chosen("fedgan.attacks.base.Attack")
        ('white_square', 'none')
    """
    module = target.rpartition(".")[0].rpartition(".")[2]
    return "none" if module == "base" else module


def varying(runs: Sequence[Run]) -> list[str]:
    """The settings in which runs differ, by full name, groups before their settings; seeds and places are left out.

    A setting that some runs lack since another component is chosen, such as ``attack.size``, counts where the runs
    that have it differ.
    """
    tables = [dict(_leaves(run)) for run in runs]
    keys = list(dict.fromkeys(key for table in tables for key in table))
    return [key for key in keys if len({repr(table[key]) for table in tables if key in table}) > 1]


def runs_table(runs: Sequence[Run], settings: Sequence[str] | None = None) -> pd.DataFrame:
    """One row per run.

    Args:
        runs: in the order of the rows.
        settings: the columns that say what was set; None for those that vary.

    Returns:
        ``run`` (its folder), ``status``, ``seconds``, ``seed``, the settings, then every metric of ``summary.json``
        with ``effective_clients`` and ``weight_of_malicious``; missing where a run has none or is not finished.

    Raises:
        ValueError: in one line, if no run has one of the settings.
    """
    columns = varying(runs) if settings is None else list(settings)
    for key in columns if settings is not None else ():
        if all(setting(run, key) is None for run in runs):
            raise ValueError(f"no run has the setting {key}; those that vary are: {', '.join(varying(runs)) or 'none'}")
    rows = []
    for run in runs:
        row = {"run": str(run.folder), "status": run.status, "seconds": run.record.get("seconds")}
        row |= {"seed": run.settings.get("seed"), **{key: setting(run, key) for key in columns}}
        rows.append(row | results(run))
    return pd.DataFrame(rows)


def results(run: Run) -> dict[str, float]:
    """A finished run's metrics, and what the server did; what ``fedgan.evaluate`` found later comes first."""
    found = {name: run.summary[name] for name in RESULTS if run.summary.get(name) is not None}
    return dict(run.summary.get("metrics", {})) | dict(run.rescored.get("metrics", {})) | found


def spread(table: pd.DataFrame, by: Sequence[str], metrics: Sequence[str]) -> pd.DataFrame:
    """Mean, standard deviation and number of runs of each metric over the rows that agree in ``by``.

    Args:
        table: as ``runs_table`` returns it.
        by: columns, at least one.
        metrics: columns of numbers.

    Returns:
        ``by``, then for each metric ``<metric>_mean``, ``<metric>_std`` (missing for one run) and ``<metric>_n``.
    """
    groups = table.groupby(list(by), dropna=False, sort=True)
    parts = {
        f"{metric}_{name}": getattr(groups[metric], method)()
        for metric in metrics
        for name, method in (("mean", "mean"), ("std", "std"), ("n", "count"))
    }
    return pd.DataFrame(parts).reset_index()


def _leaves(run: Run) -> Iterator[tuple[str, Any]]:
    for group in run.settings:
        if group in INCIDENTAL or group == "seed":
            continue
        yield from _below(run, str(group), run.settings[group])


def _below(run: Run, key: str, node: Any) -> Iterator[tuple[str, Any]]:
    if not isinstance(node, Mapping):
        if not key.rpartition(".")[2].startswith("_"):
            yield key, node
        return
    if key in GROUPS_OF_SEVERAL or "_target_" in node:
        yield key, setting(run, key)
    for name, inner in node.items():
        yield from _below(run, f"{key}.{name}", inner)
