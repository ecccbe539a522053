"""Train the federations of the study, say what each detector makes of them, and put it into tables.

    python -m experiments.audit train RUNS --root IMAGES [--only 'chest/*'] [--seeds 100-119] [OVERRIDE ...]
    python -m experiments.audit score RUNS
    python -m experiments.audit tables

IMAGES has chest_xray/ and skin_lesions/; RUNS is where the federations go: 860 of them, a minute or two of one core
and 5 MB each. ``train`` resumes where it was stopped; OVERRIDE is for all of them (``hydra/launcher=joblib``).
``score`` needs what is recorded alone; ``tables`` needs what ``score`` left in results/audit/.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from experiments.audit import counting, tables
from experiments.audit.plan import Setting, chosen, settings
from experiments.multirun import train


def train_all(runs: Path, every: Sequence[Setting], overrides: Sequence[str]) -> int:
    """Train what is not there yet, setting by setting; 1 if a run failed, and the others are trained all the same."""
    codes = [train([*each.typed, *overrides], runs / each.folder, "s${seed}", []) for each in every]
    return max(codes, default=0)


def main() -> int:
    """What is typed; see the module."""
    parser = argparse.ArgumentParser("experiments.audit", description=__doc__, allow_abbrev=False)
    commands = parser.add_subparsers(dest="command", required=True)
    training = commands.add_parser("train", help="train and record federations")
    training.add_argument("runs", type=Path, metavar="RUNS")
    training.add_argument("--root", required=True, metavar="IMAGES")
    training.add_argument("--only", metavar="PATTERN", help="settings: 'chest/*', '*/control*'")
    training.add_argument("--seeds", type=seed_range, metavar="FIRST-LAST")
    scoring = commands.add_parser("score", help="say what each detector makes of what was recorded")
    scoring.add_argument("runs", type=Path, metavar="RUNS")
    commands.add_parser("tables", help="write the tables and the picture")
    typed, overrides = parser.parse_known_args()
    if overrides and typed.command != "train":
        parser.error(f"overrides are for train alone; got {overrides}")
    match typed.command:
        case "train":
            return train_all(typed.runs, chosen(settings(typed.root), typed.only, typed.seeds), overrides)
        case "score":
            print(f"{counting.count(typed.runs)} federations in {counting.FEDERATIONS}")
        case "tables":
            print(*tables.write(counting.kept(), counting.RESULTS), sep="\n")
    return 0


def seed_range(text: str) -> range:
    """The seeds from first to last.

    Raises:
        ValueError: where the text is no such range.

    Example:
        >>> seed_range("100-102")
        range(100, 103)
    """
    first, last = map(int, text.split("-"))
    return range(first, last + 1)


if __name__ == "__main__":
    sys.exit(main())
