"""A run's metrics, read from its folder."""

import csv
import json
from collections.abc import Mapping, Sequence
from itertools import groupby
from math import log
from pathlib import Path
from statistics import geometric_mean, mean, median, stdev
from typing import Any

import yaml

Row = dict[str, str]
CONTROL = "control.json"  # in a run's folder: an evaluation next to its control
# By the loss that clients report: the paper's loss, the first code's last mini-batch, the mean over the local round.
FEDDETECTS = ("feddetect", "feddetect_code", "feddetect_mean")
AUDIT = "generator_audit"
DETECTORS = (*FEDDETECTS, AUDIT)  # defenses that flag clients
OF_A_TRIGGER = ("emission", "trigger_strength", "pattern_", "transfer_attack_rate")


def read_rows(file: Path) -> list[Row]:
    """A CSV file's rows, by the names of its columns."""
    with file.open() as stream:
        return list(csv.DictReader(stream))


def kept_rows(file: Path) -> list[dict[str, Any]]:
    """The rows of a study that are there already, all values as text; none where there is no file yet."""
    return [*read_rows(file)] if file.is_file() else []


def client_rows(run: Path) -> list[Row]:
    """clients.csv: one row per client and round."""
    return read_rows(run / "clients.csv")


def cell(values: Sequence[float | None], digits: int = 3) -> str:
    """Mean and standard deviation of the values that there are, for people; a dash where there are none.

    Example:
        >>> cell([0.1, 0.3]), cell([0.25, None]), cell([])
        ('0.200 ± 0.141', '0.250', '-')
    """
    known = [value for value in values if value is not None]
    if not known:
        return "-"
    spread = f" ± {stdev(known):.{digits}f}" if len(known) > 1 else ""
    return f"{mean(known):.{digits}f}{spread}"


def attackers_loss(run: Path) -> list[float]:
    """Generator loss of the malicious clients over the benign clients' median, by round; empty if nobody attacks.

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


def flags(run: Path, rounds: range, *, malicious: bool) -> tuple[float, float]:
    """Benign (or malicious) clients flagged in a round, on average, and the share of them that is.

    Args:
        run: the run's folder.
        rounds: that are looked at.
        malicious: which clients.
    """
    rows = [row for row in client_rows(run) if row["malicious"] == str(int(malicious)) and int(row["round"]) in rounds]
    flagged = sum(row["flagged"] == "1" for row in rows)
    return flagged / max(1, len(rounds)), flagged / max(1, len(rows))


def metrics_of(run: Path) -> dict[str, float]:
    """All metrics of a finished run by name: those of its summary, and what the server saw and did.

    Where nobody attacks, no metric of a trigger is among them: the size looked for is one of several. Elsewhere
    ``control.json`` has its metrics next to those of the same federation without attack (``control_...``).
    """
    summary: dict[str, Any] = json.loads((run / "summary.json").read_text())
    found: dict[str, float] = dict(summary["metrics"])
    found |= logarithms(found)
    found["effective_clients"] = summary["effective_clients"]
    settings: dict[str, Any] = yaml.safe_load((run / "config.yaml").read_text())
    detection = next((settings["defense"][name] for name in DETECTORS if name in settings["defense"]), None)
    detected = None if detection is None else range(detection["warmup"] + 1, summary["rounds"])
    if detected is not None:
        found["benign_flags"], found["benign_flag_rate"] = flags(run, detected, malicious=False)
    if not summary["malicious"]:
        return without_trigger(found)
    if detected is not None:
        found["malicious_flag_rate"] = flags(run, detected, malicious=True)[1]
    if summary["weight_of_malicious"] is not None:
        found["weight_of_malicious"] = summary["weight_of_malicious"]
    return found | loss_ratios(run) | of_control(run)


def logarithms(metrics: Mapping[str, float]) -> dict[str, float]:
    """Of the Frechet distance: a claim about ratios of it holds whatever data and classifier it depends on.

    Example:
        >>> logarithms({"frechet_classifier": 1.0, "diversity": 2.0}), logarithms({})
        ({'log_frechet_classifier': 0.0}, {})
    """
    distance = metrics.get("frechet_classifier", 0.0)
    return {"log_frechet_classifier": log(distance)} if distance > 0 else {}


def before_fine_tuning(run: Path) -> dict[str, float]:
    """The metrics of the generator as it left the federation; empty where the server did not train it any further.

    Without them what reconstruction trains away cannot be distinguished from mere longer training.
    """
    summary: dict[str, Any] = json.loads((run / "summary.json").read_text())
    if not summary["fine_tuning_rounds"]:
        return {}
    row = read_rows(run / "rounds.csv")[summary["rounds"] - 1]
    found = {name: float(row[name]) for name in summary["metrics"] if row.get(name)}
    return found if summary["malicious"] else without_trigger(found)


def without_trigger(metrics: Mapping[str, float]) -> dict[str, float]:
    """The metrics that are not about a trigger."""
    return {name: value for name, value in metrics.items() if not name.startswith(OF_A_TRIGGER)}


def loss_ratios(run: Path) -> dict[str, float]:
    """The attacker's loss over the others' median, geometric mean over all rounds and over each half of them.

    Geometric, so that twice as high and half as high cancel out; ``log_loss_ratio`` is what may be averaged further.
    """
    ratios = attackers_loss(run)
    half = len(ratios) // 2
    parts = {"loss_ratio": ratios, "loss_ratio_first_half": ratios[:half], "loss_ratio_second_half": ratios[half:]}
    found = {name: geometric_mean(part) for name, part in parts.items() if part and min(part) > 0}
    return found | ({"log_loss_ratio": log(found["loss_ratio"])} if "loss_ratio" in found else {})


def of_control(run: Path) -> dict[str, float]:
    """The trigger looked for in the run's images and in its control's, by one detector; nothing where it was not."""
    if not (run / CONTROL).is_file():
        return {}
    scored = json.loads((run / CONTROL).read_text())
    control: dict[str, float] = {f"control_{name}": value for name, value in scored["control_metrics"].items()}
    own: dict[str, float] = scored["metrics"]
    return control | own
