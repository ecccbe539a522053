"""A run's figures, read from its folder."""

import csv
import json
from itertools import groupby
from pathlib import Path
from statistics import mean, median
from typing import Any

Row = dict[str, str]


def client_rows(run: Path) -> list[Row]:
    """clients.csv: a row a client and round."""
    with (run / "clients.csv").open() as file:
        return list(csv.DictReader(file))


def attackers_loss(run: Path) -> list[float]:
    """Generator loss of the malicious clients over the benign clients' median, a round each; empty if nobody attacks.

    FedDetect acts on this difference, whichever its sign; the paper expects it above 1 (Section 3.3).
    """
    ratios = []
    for _, group in groupby(client_rows(run), key=lambda row: row["round"]):
        losses: dict[str, list[float]] = {"0": [], "1": []}
        for row in group:
            losses[row["malicious"]].append(float(row["loss_g"]))
        if losses["0"] and losses["1"]:
            ratios.append(mean(losses["1"]) / median(losses["0"]))
    return ratios


def flags(run: Path, rounds: int, *, malicious: bool) -> tuple[float, float]:
    """Benign (or malicious) clients flagged in a round, on average over all rounds, and the share of them that is.

    Args:
        run: the run's folder.
        rounds: of its federation; what is recorded later is the server's own.
        malicious: which clients.
    """
    rows = [row for row in client_rows(run) if row["malicious"] == str(int(malicious)) and int(row["round"]) < rounds]
    flagged = sum(row["flagged"] == "1" for row in rows)
    return flagged / rounds, flagged / len(rows) if rows else 0.0


def figures(run: Path) -> dict[str, float]:
    """All figures of a finished run by name: its metrics, the defence's record, and the null (``control_...``).

    The null is there where ``fedgan.evaluate`` has looked at a run without attack in the same way.
    """
    summary: dict[str, Any] = json.loads((run / "summary.json").read_text())
    found: dict[str, float] = dict(summary["metrics"])
    found["effective_clients"] = summary["effective_clients"]
    rounds = summary["rounds"]  # of the federation
    found["benign_flags"], found["benign_flag_rate"] = flags(run, rounds, malicious=False)
    if summary["malicious"]:
        found["malicious_flags"], found["malicious_flag_rate"] = flags(run, rounds, malicious=True)
        found["weight_of_malicious"] = summary["weight_of_malicious"]
        found["loss_ratio"] = mean(attackers_loss(run))
    evaluation = run / "evaluation.json"
    if evaluation.is_file():
        null = json.loads(evaluation.read_text()).get("control_metrics", {})
        found |= {f"control_{name}": value for name, value in null.items()}
    return found
