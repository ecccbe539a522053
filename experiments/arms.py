"""The same federation with no attack, attacked, and attacked with two defenses: table, picture and report.

python -m experiments.arms
"""

import csv
import json
import shutil
import sys
from collections.abc import Sequence
from dataclasses import fields
from functools import partial
from pathlib import Path
from statistics import mean
from typing import Any

import yaml
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, ListConfig, OmegaConf
from rich.table import Table

from experiments.measures import attackers_loss, cell, client_rows
from experiments.multirun import launcher_of, train
from experiments.settings import checked_overrides, checked_seeds, listed
from fedgan.config.command import command
from fedgan.config.folders import MADE
from fedgan.config.refusals import CONF, options
from fedgan.config.screen import screen
from fedgan.core.checks import check, check_choice
from fedgan.core.files import atomic_write
from fedgan.core.folders import LEDGER, check_empty, check_own, claim, named_folder, remove_empty
from fedgan.runs.folder import record_of

TABLES = ("table.csv", "runs.csv")
WRITTEN = (*TABLES, "arms.png")
# A metric's name, and where it stands in summary.json.
METRICS = {
    "weight of the malicious client": ("weight_of_malicious",),
    "images with the trigger": ("metrics", "emission"),
    "trigger strength": ("metrics", "trigger_strength"),
    "Frechet distance (lower is better)": ("metrics", "frechet_classifier"),
    "effective clients": ("effective_clients",),
}
TITLES = {
    "vanilla": "no attack",
    "attack": "attack",
    "feddetect": "attack + FedDetect",
    "generator_audit": "attack + generator audit",
}


@command("arms")
def main(cfg: DictConfig) -> None:
    """Run every arm with every seed, then show the results."""
    folder = Path(HydraConfig.get().runtime.output_dir)
    arms, seeds = checked_arms(cfg.arms), checked_seeds(cfg.seeds)
    check_choice("preset", cfg.preset, options("experiment"))
    of_arms = [setting for arm in arms for setting in cfg.settings.get(arm, ())]
    settings = [f"experiment={cfg.preset}", *of_arms, *checked_overrides(cfg.overrides)]
    own = folder.is_dir() and (folder / LEDGER).is_file()
    if not own:
        check_empty("hydra.run.dir", folder)
    results = None if cfg.results is None else named_folder("results", cfg.results)
    if results is not None:
        check_own(results, TABLES[0], "results")
    claim(folder, WRITTEN, "hydra.run.dir")
    varying = (listed("seed", seeds), listed("arm", arms))
    subdir = "${hydra.runtime.choices.arm}-seed_${seed}"
    code = train([*settings, *varying], folder, subdir, launcher_of(cfg.launcher))
    if code:
        if not own:
            leave_nothing(folder)
        sys.exit(code)
    runs = {TITLES.get(arm, f"attack + {arm}"): [folder / f"{arm}-seed_{seed}" for seed in seeds] for arm in arms}
    show(runs, folder, f"{cfg.preset}, {len(seeds)} seed(s): mean ± standard deviation")
    if results is not None:
        keep(folder, results)
    print(report_on(folder))


def keep(folder: Path, results: Path) -> None:
    """Copy the tables of a study to a folder of results."""
    claim(results, TABLES, "results")
    for name in TABLES:
        atomic_write(results / name, partial(shutil.copyfile, folder / name))


def report_on(folder: Path) -> Path:
    """Write the study's report with the settings of conf/report.yaml; returns its file."""
    from fedgan.config.report import Settings, write_report  # here: a study that is refused does not wait for pandas

    own: Any = OmegaConf.to_container(OmegaConf.load(CONF / "report.yaml"))
    plain = {name: own[name] for name in (field.name for field in fields(Settings))}
    return write_report(Settings(**plain | {"paths": [str(folder)]}))


def checked_arms(given: object) -> list[str]:
    """The arms by the names of their files.

    Raises:
        ValueError: in one line, if they are no list of files in conf/arm/, each once.
    """
    arms = list(given) if isinstance(given, ListConfig) else []
    check(bool(arms), "arms", f"a list of some of {', '.join(options('arm'))}", given)
    for arm in arms:
        check_choice("each of arms", arm, options("arm"))
    check(len(set(arms)) == len(arms), "arms", "names that differ", arms)
    return arms


def leave_nothing(folder: Path) -> None:
    """Remove what a study without a run has left in a folder that was empty before; one with a run stays."""
    if any(record_of(run) for run in folder.iterdir() if run.is_dir()):
        return
    for name in (LEDGER, "multirun.yaml"):
        (folder / name).unlink(missing_ok=True)
    remove_empty(MADE)


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
    screen().print(table)
    for line in outcomes(arms):
        print(line)
    print(f"{picture(arms, folder)}")


def outcomes(arms: dict[str, list[Path]]) -> list[str]:
    """Of each defended arm in words: in how many federations the defense stopped the trigger.

    Stopped: at most 5 in 100 images more carry it than where nobody attacks, with the same seed. Without such a run
    the line says only how many carry it.
    """
    runs = [run for own in arms.values() for run in own]
    controls = {seed_of(run): emission_of(run) for run in runs if not summary_of(run)["malicious"]}
    lines = []
    for arm, own in arms.items():
        defended = [run for run in own if settings_of(run)["defense"] and summary_of(run)["malicious"]]
        known = {run: emission for run in defended if (emission := emission_of(run)) is not None}
        if known:
            pairs = [(share, controls.get(seed_of(run))) for run, share in known.items()]
            compared = [share <= control + 0.05 for share, control in pairs if control is not None]
            stopped = f"trigger stopped in {sum(compared)} of {len(compared)} federation(s)"
            on = f"{mean(known.values()):.0%} of the images carry it"
            lines.append(f"{arm}: {stopped if compared else 'no arm without attack to compare with'}; {on}")
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
    return metric(summary_of(run), METRICS["images with the trigger"])


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
        **{name: metric(summary, path) for name, path in METRICS.items()},
        "rounds in which the malicious client was flagged": float(sum(flagged)) if defended else None,
        "flags of honest clients": float(len(flagged) - sum(flagged)) if defended else None,
        "attacker's loss / others' median, rounds' 1st half": first,
        "attacker's loss / others' median, rounds' 2nd half": second,
    }


def caption(run: Path) -> str | None:
    """What has to be read next to the share of images with the trigger."""
    facts = summary_of(run).get("facts", {}).get("emission")
    if not facts:
        return None
    rate, power = facts["emission_false_alarm"], facts["emission_power"]
    return f"the trigger detector on real test images: {rate:.1%} false alarms, {power:.1%} of pasted triggers found"


def metric(summary: dict[str, Any], path: Sequence[str]) -> float | None:
    """The metric at ``path``; None where there is none (nobody malicious, no such metric)."""
    value: Any = summary
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return None if value is None else float(value)


def halves(values: Sequence[float]) -> tuple[float | None, float | None]:
    """The mean of each half; none of fewer than two."""
    half = len(values) // 2
    return (mean(values[:half]), mean(values[half:])) if half else (None, None)


def picture(arms: dict[str, list[Path]], folder: Path) -> Path:
    """What each arm's first run paints, and what defenses saw of the clients that stood out."""
    from experiments import arms_picture  # here: a study that is refused does not wait for matplotlib

    def shown(run: Path) -> arms_picture.Shown:
        data, per_class = record_of(run)["dataset"], settings_of(run)["evaluation"]["grid_per_class"]
        names, malicious = list(data["train"]["counts"]), summary_of(run)["malicious"]
        return arms_picture.Shown(run, data["image_size"], per_class, names, emission_of(run), malicious)

    sheet = arms_picture.draw({arm: shown(runs[0]) for arm, runs in arms.items()})
    path = folder / "arms.png"
    atomic_write(path, lambda file: sheet.save(file))
    return path


if __name__ == "__main__":
    main()
