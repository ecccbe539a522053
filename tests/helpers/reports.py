"""Run folders written by hand, for what reads them."""

import json
from pathlib import Path
from typing import Any

import yaml

from fedgan.reports.run import Run

SQUARE = {"_target_": "fedgan.attacks.white_square.WhiteSquare", "size": 8, "start": 0}
NO_ATTACK = {"_target_": "fedgan.attacks.base.Attack"}
FEDDETECT = {"feddetect": {"_target_": "fedgan.defenses.feddetect.FedDetect", "warmup": 10}}


def run_of(folder: Path, metrics: dict[str, float] | None = None, **settings: Any) -> Run:
    folder.mkdir(parents=True)
    finished = metrics is not None
    base = {"seed": 0, "attack": SQUARE, "defense": {}, "fl": {"rounds": 20, "malicious": 1}, "trainer": {"devices": 1}}
    (folder / "config.yaml").write_text(yaml.safe_dump(base | settings))
    (folder / "run.json").write_text(json.dumps({"status": "finished" if finished else "failed", "seconds": 7.5}))
    if finished:
        summary = {"metrics": metrics, "effective_clients": 4.0, "weight_of_malicious": None}
        (folder / "summary.json").write_text(json.dumps(summary))
    return Run(folder)
