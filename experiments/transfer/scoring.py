"""The study's federations as one row each: runs.csv."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from experiments.federations import Setting
from experiments.measures import CONTROL, kept_rows
from experiments.multirun import carry_out
from experiments.paper.plan import control_job
from experiments.paper.runs import is_finished
from experiments.paper.writing import write_csv
from experiments.transfer.plan import control_of, controls, evaluation
from fedgan.core.checks import check

RESULTS = Path(__file__).parent.parent / "results/transfer"
FILE = "runs.csv"
Row = dict[str, Any]


def look_at_controls(every: list[Setting], runs: Path) -> None:
    """Score the controls that are another's runs, each with its own patch: a file in the folder of the attacked run.

    Raises:
        ValueError: in one line, if one could not be scored.
    """
    failed = carry_out([control_job(run, other, evaluation()) for _, _, _, run, other in _shared(every, runs)], ())
    check(not failed, "RUNS", "runs that fedgan.evaluate can score", ", ".join(map(str, failed)))


def _shared(every: Iterable[Setting], runs: Path) -> Iterator[tuple[str, str, int, Path, Path]]:
    """Data, name and seed of each control that is another's run, a finished run with its patch, and that other run."""
    seen = set[tuple[str, str, int]]()
    for each in every:
        name = control_of(each.name)
        other = controls().get(name, name)
        for seed in each.seeds if other != name else ():
            run, control = (runs / each.data / setting / f"s{seed}" for setting in (each.name, other))
            key = (each.data, name, seed)
            if key not in seen and is_finished(run) and is_finished(control):
                seen.add(key)
                yield *key, run, control


def count(every: list[Setting], runs: Path, file: Path) -> int:
    """Add the finished runs to those of the plan that are there, or renew them; returns how many there are now.

    Raises:
        ValueError: in one line, if there is no finished run, or if one has not been scored by what the study needs.
    """
    found = list(rows_of(every, runs))
    check(bool(found), "RUNS", "a folder with finished federations, DATA/SETTING/sN, in it", str(runs))
    rows = {(row["data"], row["setting"], str(row["seed"])): row for row in (*kept_rows(file), *found)}
    own = [(each.data, each.name, str(seed)) for each in every for seed in each.seeds]
    their_controls = [(data, control_of(name), seed) for data, name, seed in own]
    ordered = [rows[key] for key in dict.fromkeys(own + their_controls) if key in rows]
    write_csv(file, ordered)
    return len(ordered)


def rows_of(every: list[Setting], runs: Path) -> Iterator[Row]:
    """A row for each finished federation, and for each control that is another's run (``look_at_controls``).

    ``changed``: of real test images of class 0, whose answer the trigger changes; ``accuracy``: balanced, of the
    classifier trained on synthetic images, and ``recognized``, of class 1 without the trigger; ``emission``: synthetic
    images of class 1 with the trigger; shares.

    Raises:
        ValueError: in one line, if a run has not been scored by what the study needs.
    """
    for each in every:
        for seed in each.seeds:
            run = runs / each.folder / f"s{seed}"
            if is_finished(run):
                summary = json.loads((run / "summary.json").read_text())
                measured = _measured(run, summary["metrics"]) | {"weight": summary["weight_of_malicious"]}
                yield {"data": each.data, "setting": each.name, "seed": seed} | measured
    for data, name, seed, run, control in _shared(every, runs):
        if (run / CONTROL).is_file():  # not yet of a run that has just ended
            found = json.loads((run / CONTROL).read_text())["control_metrics"]
            yield {"data": data, "setting": name, "seed": seed} | _measured(control, found) | {"weight": None}


def _measured(run: Path, metrics: dict[str, float]) -> Row:
    classes = list(json.loads((run / "run.json").read_text())["dataset"]["test"]["counts"])
    names = {
        "changed": f"transfer_attack_rate/{classes[0]}",
        "accuracy": "synthetic_accuracy",
        "recognized": f"synthetic_accuracy/{classes[1]}",
        "emission": f"emission/{classes[1]}",
        "frechet": "frechet_classifier",
    }
    missing = [name for name in names.values() if name not in metrics]
    check(not missing, str(run), "a run of this study", f"one without {', '.join(missing)}")
    return {key: metrics[name] for key, name in names.items()}
