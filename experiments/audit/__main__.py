"""Train the federations of the study, say what each detector makes of them, and put it into tables.

    python -m experiments.audit train RUNS --root IMAGES [--only 'chest/*'] [--seeds 100-119] [OVERRIDE ...]
    python -m experiments.audit score RUNS
    python -m experiments.audit tables

IMAGES has chest_xray/ and skin_lesions/; RUNS is where the federations go: 860 of them, a minute or two of one core
and 5 MB each. train resumes where it was stopped; OVERRIDE is for all of them (hydra/launcher=joblib).
score needs what is recorded alone; tables needs what score left in results/audit/.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from experiments.audit import counting, tables
from experiments.audit.plan import Setting, chosen, settings
from experiments.images import check_root
from experiments.multirun import train
from experiments.settings import seed_range
from experiments.typed import carry_out_typed
from fedgan.core.checks import check

_TRAIN = "%(prog)s RUNS --root IMAGES [--only PATTERN] [--seeds FIRST-LAST] [OVERRIDE ...]"


def train_all(runs: Path, every: Sequence[Setting], overrides: Sequence[str]) -> int:
    """Train what is not there yet, setting by setting; 1 if a run failed, and the others are trained all the same."""
    codes = [train([*each.typed, *overrides], runs / each.folder, "s${seed}", []) for each in every]
    return max(codes, default=0)


def main() -> None:
    """What is typed; see the module."""
    carry_out_typed(form(), carried_out)


def form() -> argparse.ArgumentParser:
    """What can be typed."""
    layout = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("experiments.audit", description=__doc__, formatter_class=layout)
    commands = parser.add_subparsers(dest="command", required=True)
    training = commands.add_parser("train", help="train and record federations", usage=_TRAIN)
    training.add_argument("runs", type=Path, metavar="RUNS", help="where the federations go")
    training.add_argument(
        "--root", type=Path, required=True, metavar="IMAGES", help="with chest_xray/ and skin_lesions/"
    )
    training.add_argument("--only", metavar="PATTERN", help="settings: 'chest/*', '*/control*'")
    training.add_argument("--seeds", metavar="FIRST-LAST", help="of the settings' seeds these alone")
    scoring = commands.add_parser("score", help="say what each detector makes of what was recorded")
    scoring.add_argument("runs", type=Path, metavar="RUNS", help="where the federations are")
    commands.add_parser("tables", help="write the tables and the picture")
    return parser


def carried_out(typed: argparse.Namespace, overrides: Sequence[str]) -> int:
    """Do it; the exit code.

    Raises:
        ValueError: in one line, if there is nothing to train, to score or to put into tables.
    """
    match typed.command:
        case "train":
            check_root(typed.root)
            every = chosen(settings(str(typed.root)), typed.only, typed.seeds and seed_range(typed.seeds))
            check(bool(every), "--only and --seeds", "of the plan's settings and seeds", (typed.only, typed.seeds))
            return train_all(typed.runs, every, overrides)
        case "score":
            found = counting.finished(typed.runs)
            check(bool(found), "RUNS", "a folder with finished federations, DATA/SETTING/sN, in it", str(typed.runs))
            print(f"{counting.count(found)} federations in {counting.FEDERATIONS}")
        case "tables":
            rows = counting.kept()
            check(
                bool(rows), str(counting.FEDERATIONS), "there: python -m experiments.audit score RUNS", "no such file"
            )
            print(*tables.write(rows, counting.RESULTS), sep="\n")
    return 0


if __name__ == "__main__":
    main()
