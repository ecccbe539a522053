"""The same federation with no attack, attacked, and attacked but defended by FedDetect: a table and a picture.

python -m experiments.three_arms
"""

import csv
import json
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import mean
from typing import Any

import yaml
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig
from rich.console import Console
from rich.table import Table

from experiments.measures import attackers_loss, cell, client_rows
from experiments.running import is_finished, training
from fedgan.config.command import command
from fedgan.core.checks import check
from fedgan.core.files import atomic_write
from fedgan.core.folders import claim

WRITTEN = ("table.csv", "runs.csv", "three_arms.png")
# A figure's name, and where it stands in summary.json.
FIGURES = {
    "weight of the malicious client": ("weight_of_malicious",),
    "images with the trigger": ("metrics", "emission"),
    "trigger strength": ("metrics", "trigger_strength"),
    "Frechet distance (lower is better)": ("metrics", "frechet_classifier"),
    "effective clients": ("effective_clients",),
}


@command("three_arms", free=("arms",))
def main(cfg: DictConfig) -> None:
    """Run every arm with every seed, then show what came out."""
    folder = Path(HydraConfig.get().runtime.output_dir)
    check(len({slug(str(arm)) for arm in cfg.arms}) == len(cfg.arms), "arms", "names that differ", list(cfg.arms))
    claim(folder, WRITTEN, "hydra.run.dir")
    arms: dict[str, list[Path]] = {}
    for arm, overrides in cfg.arms.items():
        settings = [f"experiment={cfg.preset}", *overrides, *cfg.overrides]
        arms[str(arm)] = [run(str(arm), settings, seed, folder) for seed in cfg.seeds]
    show(arms, folder, f"{cfg.preset}, {len(cfg.seeds)} seed(s): mean ± standard deviation")


def run(arm: str, overrides: Sequence[str], seed: int, folder: Path) -> Path:
    """One run by the command that a user would type, unless it is there already; returns its folder."""
    target = folder / f"{slug(arm)}_seed{seed}"
    arguments = [*overrides, f"seed={seed}"]
    Console(stderr=True).rule(f"{arm}, seed {seed}")
    if is_finished(target, arguments):
        print(f"finished before: {target}")
        return target
    job = training(arm, arguments, target)
    print("python -m", *job.command, flush=True)
    done = subprocess.run([sys.executable, "-m", *job.command], check=False)
    if done.returncode:
        sys.exit(done.returncode)
    return target


def slug(arm: str) -> str:
    """The arm's name as part of a folder's."""
    return re.sub(r"[^a-z0-9]+", "_", arm.lower())


def show(arms: dict[str, list[Path]], folder: Path, title: str) -> None:
    """Print the table (an arm a column), what each defense came to, and the picture's path; write the tables as CSV."""
    measured = {arm: [measure(run) for run in runs] for arm, runs in arms.items()}
    cells = {arm: {name: cell([m[name] for m in each]) for name in each[0]} for arm, each in measured.items()}
    names = list(next(iter(cells.values())))
    table = Table("", *cells, title=title, caption=caption(next(iter(arms.values()))[0]))
    for name in names:
        table.add_row(name, *(cells[arm][name] for arm in cells))
    write_rows(folder / "table.csv", [["arm", *names], *([arm, *row.values()] for arm, row in cells.items())])
    by_run = [
        [arm, str(seed_of(run)), *("" if value is None else repr(value) for value in own.values())]
        for arm, runs in arms.items()
        for run, own in zip(runs, measured[arm], strict=True)
    ]
    write_rows(folder / "runs.csv", [["arm", "seed", *names], *by_run])
    Console().print(table)
    for line in outcomes(arms):
        print(line)
    print(f"{picture(arms, folder)}")


def outcomes(arms: dict[str, list[Path]]) -> list[str]:
    """Of each defended arm in words: in how many federations the defense stopped the trigger.

    Stopped: at most 5 in 100 images more carry it than where nobody attacks, with the same seed.
    """
    runs = [run for own in arms.values() for run in own]
    controls = {seed_of(run): emission_of(run) for run in runs if not summary_of(run)["malicious"]}
    lines = []
    for arm, own in arms.items():
        defended = [run for run in own if settings_of(run)["defense"] and summary_of(run)["malicious"]]
        known = {run: emission for run in defended if (emission := emission_of(run)) is not None}
        if known:
            stopped = sum(share <= (controls.get(seed_of(run)) or 0.0) + 0.05 for run, share in known.items())
            on = f"{mean(known.values()):.0%} of the images carry it"
            lines.append(f"{arm}: trigger stopped in {stopped} of {len(known)} federation(s); {on}")
    return lines


def summary_of(run: Path) -> dict[str, Any]:
    """A run's summary.json."""
    return dict(json.loads((run / "summary.json").read_text()))


def settings_of(run: Path) -> dict[str, Any]:
    """A run's config.yaml."""
    return dict(yaml.safe_load((run / "config.yaml").read_text()))


def seed_of(run: Path) -> int:
    """The run's seed."""
    return int(settings_of(run)["seed"])


def emission_of(run: Path) -> float | None:
    """The share of images with the trigger."""
    return figure(summary_of(run), FIGURES["images with the trigger"])


def write_rows(path: Path, rows: Sequence[Sequence[str]]) -> None:
    """Write a table as CSV, whole or not at all."""

    def write(file: Path) -> None:
        with file.open("w", newline="") as stream:
            csv.writer(stream, lineterminator="\n").writerows(rows)

    atomic_write(path, write)


def measure(run: Path) -> dict[str, float | None]:
    """A run's metrics by the name that the table gives them."""
    summary = summary_of(run)
    first, second = halves(attackers_loss(run))
    flagged = [int(row["malicious"]) for row in client_rows(run) if row["flagged"] == "1"]
    defended = bool(settings_of(run)["defense"])
    return {
        **{name: figure(summary, path) for name, path in FIGURES.items()},
        "rounds in which the malicious client was flagged": float(sum(flagged)) if defended else None,
        "flags of honest clients": float(len(flagged) - sum(flagged)) if defended else None,
        "attacker's loss / others' median, rounds' 1st half": first,
        "attacker's loss / others' median, rounds' 2nd half": second,
    }


def caption(run: Path) -> str | None:
    """What has to be read beside the share of images with the trigger."""
    facts = summary_of(run).get("facts", {}).get("emission")
    if not facts:
        return None
    rate, power = facts["emission_false_alarm"], facts["emission_power"]
    return f"the trigger detector on real test images: {rate:.1%} false alarms, {power:.1%} of pasted triggers found"


def figure(summary: dict[str, Any], path: Sequence[str]) -> float | None:
    """The figure at ``path``; None where there is none (nobody malicious, no such metric)."""
    value: Any = summary
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return None if value is None else float(value)


def halves(values: Sequence[float]) -> tuple[float | None, float | None]:
    """The mean of each half; none of fewer than two."""
    half = len(values) // 2
    return (mean(values[:half]), mean(values[half:])) if half else (None, None)


def picture(arms: dict[str, list[Path]], folder: Path) -> Path:
    """The last sample grid of each arm's first run, side by side."""
    from PIL import Image

    from fedgan.scoring.grid import headed, stack

    grids = [headed(Image.open(sorted((runs[0] / "samples").glob("*.png"))[-1]), arm) for arm, runs in arms.items()]
    path = folder / "three_arms.png"
    sheet = stack(grids, vertical=False, gap=12)
    atomic_write(path, lambda file: sheet.save(file))
    return path


if __name__ == "__main__":
    main()
