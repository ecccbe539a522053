"""Several runs as one table: what varies between them, how each ended, and its metrics; one row per run."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

import pandas as pd

from fedgan.reports.run import Run

# Settings of where and how a run is carried out; they do not change what is trained.
INCIDENTAL = ("logger", "resume", "root", "trust", "trainer", "checkpoint", "hydra", "name", "objective")
DECISIVE = ("trainer.precision",)  # in a group of these, and yet it changes what is trained
PLACES = ("dataset.cache_dir", "metrics.*.cache", "metrics.*.classifier.cache")  # of what can be computed again
DATA = ("dataset.root", "dataset.file")  # where the images lie; run.json says which they are
GROUPS_OF_SEVERAL = ("defense", "metrics")
RESULTS = ("effective_clients", "weight_of_malicious")
ALL = "all runs"


def setting(run: Run, key: str) -> Any:
    """A run's setting; of a group, what is chosen: ``white_square``, ``feddetect+median`` or ``none``.

    Args:
        run: the run.
        key: its full name, such as ``attack.size`` or ``defense``.

    Returns:
        The value; None where the run has no such setting, such as ``attack.size`` without an attack.
    """
    return _setting(run, key, chosen)


def settings_of(runs: Sequence[Run], key: str) -> list[Any]:
    """``setting`` of several runs, such that different components have different names: if need be, in full.

    Returns:
        One value per run.
    """
    different = len({_setting(run, key, str) for run in runs})
    for name in (chosen, _class_name):
        values = [_setting(run, key, name) for run in runs]
        if len(set(values)) == different:
            return values
    return [_setting(run, key, _full_name) for run in runs]


def _setting(run: Run, key: str, name: Callable[[str], str]) -> Any:
    node: Any = run.settings
    for part in key.split("."):
        if not isinstance(node, Mapping) or part not in node:
            return None
        node = node[part]
    if key in GROUPS_OF_SEVERAL:
        return "+".join(map(str, node)) or "none"
    if isinstance(node, Mapping) and "_target_" in node:
        return name(str(node["_target_"]))
    return str(node) if isinstance(node, Mapping | list) else node


def chosen(target: str) -> str:
    """The choice that a class stands for; ``none`` for the base class of one of fedgan's groups.

    Options are called as the module that has one class, named after it; of other classes the own name says more.

    Example:
        >>> chosen("fedgan.attacks.white_square.WhiteSquare"), chosen("fedgan.attacks.base.Attack")
        ('white_square', 'none')
        >>> chosen("fedgan.models.dcgan.DCGANGenerator"), chosen("torch.optim.SGD"), chosen("my_lab.base.Stripes")
        ('dcgan', 'SGD', 'Stripes')
    """
    module, name = target.rpartition(".")[0].rpartition(".")[2], _class_name(target)
    is_named_after = name.lower().startswith(module.replace("_", ""))
    return module if module and is_named_after else name


def _class_name(target: str) -> str:
    return _full_name(target).rpartition(".")[2]


def _full_name(target: str) -> str:
    module = target.rpartition(".")[0]
    return "none" if module.startswith("fedgan.") and module.endswith(".base") else target


def arm_name(values: Mapping[str, Any]) -> str:
    """What sets an arm apart, as it is typed.

    Args:
        values: by setting; None or NaN where the arm has no such setting.

    Example:
        >>> arm_name({"defense": "feddetect", "attack.size": 4})
        'defense=feddetect attack.size=4'
        >>> arm_name({"fl.server_optimizer.momentum": None}), arm_name({})
        ('without fl.server_optimizer.momentum', 'all runs')
    """
    parts = [f"{key}={value}" for key, value in values.items() if not pd.isna(value)]
    return " ".join(parts) or (f"without {', '.join(values)}" if values else ALL)


def varying(runs: Sequence[Run]) -> list[str]:
    """The settings in which runs differ, by full name, groups before their settings; seeds and places are left out.

    A setting that some runs lack since another component is chosen, such as ``attack.size``, counts where the runs
    that have it differ; one that some lack although they have the same component counts, too. Where the images lie
    counts where these are others, as their fingerprints in run.json say.
    """
    tables = [dict(_leaves(run)) for run in runs]
    keys = list(dict.fromkeys(key for table in tables for key in table))
    moved = DATA if _have_same_images(runs, tables) else ()
    return [key for key in keys if key not in moved and _varies(key, tables)]


def _varies(key: str, tables: Sequence[Mapping[str, Any]]) -> bool:
    having = [table for table in tables if key in table]
    values = {repr(table[key]) for table in having}
    lacking = {_component(key, table) for table in tables if key not in table} - {None}
    if lacking and any(_component(key, table) in lacking for table in having):
        values.add(repr(None))  # which is what not being set is
    return len(values) > 1


def _component(key: str, table: Mapping[str, Any]) -> str | None:
    """The component that a setting is an argument of: its place and class; None for a setting of no component."""
    parts = key.split(".")[:-1]
    above = (".".join(parts[:count]) for count in range(len(parts), 0, -1))
    return next((f"{place}: {table[place]}" for place in above if isinstance(table.get(place), str)), None)


def _have_same_images(runs: Sequence[Run], tables: Sequence[Mapping[str, Any]]) -> bool:
    """Whether the same settings of the data have led to the same images, wherever these lie."""
    found: dict[str, set[str]] = {}
    for run, table in zip(runs, tables, strict=True):
        data = run.record.get("dataset") or {}
        prints = [(data.get(part) or {}).get("sha256") for part in ("train", "test")]
        how = repr([each for each in table.items() if each[0].startswith("dataset") and each[0] not in DATA])
        if None not in prints:
            found.setdefault(how, set()).add(repr(prints))
    return bool(found) and all(len(each) == 1 for each in found.values())


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
    shown = {key: settings_of(runs, key) for key in columns}
    rows = []
    for i, run in enumerate(runs):
        row = {"run": str(run.folder), "status": run.status, "seconds": run.record.get("seconds")}
        row |= {"seed": run.settings.get("seed"), **{key: values[i] for key, values in shown.items()}}
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
    """A run's settings by full name; of components also the class, and of groups of several the choices."""
    for group, node in run.settings.items():
        if group not in (*INCIDENTAL, "seed"):
            yield from _below(run, str(group), node)
    for key in DECISIVE:
        if (value := setting(run, key)) is not None:
            yield key, value


def _below(run: Run, key: str, node: Any) -> Iterator[tuple[str, Any]]:
    if any(fnmatchcase(key, place) for place in PLACES) or key.rpartition(".")[2].startswith("_"):
        return
    if not isinstance(node, Mapping):
        yield key, node
        return
    if key in GROUPS_OF_SEVERAL or "_target_" in node:
        yield key, _setting(run, key, str)
    for name, inner in node.items():
        yield from _below(run, f"{key}.{name}", inner)
