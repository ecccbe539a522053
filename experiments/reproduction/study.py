"""What is told of the runs behind a table or figure: their figures by arm, and what they were made with."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from experiments.measures import figures
from experiments.reproduction.plan import Arm, Plan
from experiments.reproduction.verdicts import Values


def gather(plan: Plan, arms: Sequence[Arm]) -> Values:
    """By the name of an arm, by figure, a value a seed; all from finished runs."""
    return {str(arm): by_figure({seed: figures(plan.folder(arm, seed)) for seed in plan.seeds}) for arm in arms}


def by_figure(runs: Mapping[int, Mapping[str, float]]) -> dict[str, dict[int, float]]:
    """Figures by seed, turned round: seeds by figure.

    Example:
        >>> by_figure({0: {"emission": 0.5}, 1: {"emission": 0.25, "lpips": 0.75}})
        {'emission': {0: 0.5, 1: 0.25}, 'lpips': {1: 0.75}}
    """
    names = dict.fromkeys(name for run in runs.values() for name in run)
    return {name: {seed: run[name] for seed, run in runs.items() if name in run} for name in names}


def classes_of(run: Path) -> list[str]:
    """The classes' names, in the order of their labels."""
    return list(_read(run)[0]["dataset"]["test"]["counts"])


def provenance(plan: Plan, runs: Sequence[Path]) -> str:
    """Data, image size, clients, rounds, seeds, commit: what a table cannot be read without."""
    told = [_facts(run) for run in runs]
    facts = {key: ", ".join(dict.fromkeys(str(part[key]) for part in told)) for key in told[0]}
    triggers = ", ".join(f"{pixels} px ({size} at 256)" for size, pixels in plan.sizes.items())
    return " ".join(
        (
            f"Scale `{plan.scale}`. Data: {facts['data']}, {facts['image']} pixels, {facts['train']} training images.",
            f"Model: {facts['model']}. {facts['clients']} clients, {facts['rounds']} rounds of {facts['epochs']} local",
            f"epoch(s), batch {facts['batch']}. Triggers of {triggers}. Seeds {', '.join(map(str, plan.seeds))}:",
            f"mean ± standard deviation. Runs of commit {facts['commit']}, torch {facts['torch']}, {facts['device']}.",
        )
    )


def _facts(run: Path) -> dict[str, Any]:
    """What a run's own files say about it."""
    record, settings = _read(run)
    data, fl, git = record["dataset"], settings["fl"], record["git"]
    parts = [str(settings["model"][part]["_target_"]).rpartition(".")[2] for part in ("generator", "discriminator")]
    return {
        "data": data["name"],
        "image": f"{data['image_size']} x {data['image_size']}",
        "train": " + ".join(f"{count:,}" for count in data["train"]["counts"].values()),
        "model": " and ".join(parts),
        "clients": fl["num_clients"],
        "rounds": fl["rounds"],
        "epochs": fl["local_epochs"],
        "batch": fl["batch_size"],
        "commit": f"{str(git['commit'])[:9]}{' (changed)' if git['dirty'] else ''}",
        "torch": record["versions"]["torch"],
        "device": record["device"],
    }


def _read(run: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """run.json and config.yaml."""
    return json.loads((run / "run.json").read_text()), yaml.safe_load((run / "config.yaml").read_text())
