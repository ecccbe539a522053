"""The study's federations as one row for each detector: federations.csv."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from experiments.arms import settings_of
from experiments.audit.plan import ACTING
from experiments.audit.replay import EQUALIZED, Verdict, replay, verdict
from experiments.measures import AUDIT, kept_rows
from experiments.paper.writing import write_csv

RESULTS = Path(__file__).parent.parent / "results/audit"
FILE = "federations.csv"
KEY = ("data", "setting", "seed", "detector")
SHARES = ("emission", "template_emission", "spectrum_emission")  # of the images that bear the trigger, by its kind
Row = dict[str, Any]


def finished(runs: Path) -> list[Path]:
    """The runs that are finished and were recorded, by name."""
    states = {path.parent: json.loads(path.read_text())["status"] for path in sorted(runs.glob("*/*/s*/run.json"))}
    return [run for run, status in states.items() if status == "finished" and (run / "recording").is_dir()]


def rows_of(run: Path) -> Iterator[Row]:
    """A row for each detector; for the audit alone where it acted."""
    acted = run.parent.name.endswith(ACTING)
    found = {acting(run): as_acted(run)} if acted else replay(run)
    rounds = pd.read_csv(run / "rounds.csv")
    emission = next((rounds[name].dropna() for name in SHARES if name in rounds), pd.Series(dtype=float))
    start = {"data": run.parent.parent.name, "setting": run.parent.name, "seed": int(run.name[1:])}
    for name, each in found.items():
        yield {**start, "detector": name, **each._asdict(), "emission": emission.iloc[-1] if len(emission) else None}


def acting(run: Path) -> str:
    """The name of the audit that acted in a run; those from before ``equalize`` was there did without it."""
    audit = settings_of(run)["defense"]["generator_audit"]
    return EQUALIZED if audit.get("equalize", False) else AUDIT


def as_acted(run: Path) -> Verdict:
    """What the audit did in a run in which it acted."""
    table = pd.read_csv(run / "clients.csv")
    malicious = sorted(table.loc[table["malicious"] == 1, "client"].unique())
    flags = [frozenset(part.loc[part["flagged"] == 1, "client"]) for _, part in table.groupby("round")]
    return verdict(flags, sorted(table["client"].unique()), malicious)


def count(runs: Sequence[Path], file: Path) -> int:
    """Add those of the ``finished`` runs that are not there yet, ordered by key; returns how many there are now."""
    rows = {tuple(str(row[name]) for name in KEY): row for row in kept_rows(file)}
    known = {key[:3] for key in rows}
    for run in runs:
        if (run.parent.parent.name, run.parent.name, run.name[1:]) in known:
            continue
        rows |= {tuple(str(row[name]) for name in KEY): row for row in rows_of(run)}
        write_csv(file, _ordered(list(rows.values())))
    return len({key[:3] for key in rows})


def _ordered(rows: Sequence[Row]) -> list[Row]:
    return sorted(rows, key=lambda row: (row["data"], row["setting"], int(row["seed"]), row["detector"]))
