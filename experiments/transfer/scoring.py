"""The study's federations as one row each: results/transfer/runs.csv."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from experiments.federations import Setting
from experiments.paper.runs import is_finished
from fedgan.core.checks import check

RESULTS = Path(__file__).parent.parent / "results/transfer"
FILE = "runs.csv"
Row = dict[str, Any]


def rows_of(every: list[Setting], runs: Path) -> Iterator[Row]:
    """A row for each finished federation.

    ``changed``: of real test images of class 0, whose answer the trigger changes; ``accuracy``: balanced, of the
    classifier trained on synthetic images; ``emission``: synthetic images of class 1 with the trigger; shares.

    Raises:
        ValueError: in one line, if a run has not been scored by what the study needs.
    """
    for each in every:
        for seed in each.seeds:
            run = runs / each.folder / f"s{seed}"
            if is_finished(run):
                yield {"data": each.data, "setting": each.name, "seed": seed} | _measured(run)


def _measured(run: Path) -> Row:
    summary = json.loads((run / "summary.json").read_text())
    classes = list(json.loads((run / "run.json").read_text())["dataset"]["test"]["counts"])
    metrics = summary["metrics"]
    names = {
        "changed": f"transfer_attack_rate/{classes[0]}",
        "accuracy": "synthetic_accuracy",
        "emission": f"emission/{classes[1]}",
        "frechet": "frechet_classifier",
    }
    missing = [name for name in names.values() if name not in metrics]
    check(not missing, str(run), "a run of this study", f"one without {', '.join(missing)}")
    return {key: metrics[name] for key, name in names.items()} | {"weight": summary["weight_of_malicious"]}
