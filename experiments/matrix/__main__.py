"""Train every attack against every defense on real images, say what each run came to, and put it into tables.

    python -m experiments.matrix train RUNS --root IMAGES [--data chest] [--attacks PATTERN] [--defenses PATTERN] \\
        [--seeds FIRST-LAST] [--dry-run] [OVERRIDE ...]
    python -m experiments.matrix score RUNS [--root IMAGES] [--results FOLDER]
    python -m experiments.matrix tables [--results FOLDER]

IMAGES has chest_xray/ and skin_lesions/; RUNS is where the federations go. PATTERN: names of conf/ between commas, with
* and ?; control: nobody attacks, none: no defense. train resumes where it was stopped, controls come first; --dry-run
prints what it would cost. OVERRIDE is for all runs (hydra/launcher=joblib). tables needs what score left in
experiments/results/matrix/ (or FOLDER), of as much of the matrix as there is; runs of the plan alone are counted there.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from experiments import images
from experiments.matrix import plan, scoring, tables
from experiments.matrix.budget import budget
from experiments.measures import kept_rows
from experiments.multirun import carry_out
from experiments.settings import seed_range
from experiments.typed import are_kept, carry_out_typed
from fedgan.core.checks import check, check_choice

_TRAIN = (
    "%(prog)s RUNS --root IMAGES [--data NAME] [--attacks PATTERN] [--defenses PATTERN] [--seeds FIRST-LAST] "
    "[--dry-run] [OVERRIDE ...]"
)


def main() -> None:
    """What is typed; see the module."""
    carry_out_typed(form(), carried_out)


def form() -> argparse.ArgumentParser:
    """What can be typed."""
    layout = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("experiments.matrix", description=__doc__, formatter_class=layout)
    commands = parser.add_subparsers(dest="command", required=True)
    training = commands.add_parser("train", help="train federations, or say what it would cost", usage=_TRAIN)
    training.add_argument("runs", type=Path, metavar="RUNS", help="where the federations go")
    training.add_argument("--root", type=Path, metavar="IMAGES", help="with chest_xray/ and skin_lesions/")
    training.add_argument("--data", metavar="NAME", help=f"these images alone: {' or '.join(images.names())}")
    training.add_argument("--attacks", metavar="PATTERN", help="these columns alone: 'control,white_square'")
    training.add_argument("--defenses", metavar="PATTERN", help="these rows alone: 'none,feddetect*'")
    training.add_argument("--seeds", metavar="FIRST-LAST", help="in place of the plan's")
    training.add_argument("--dry-run", action="store_true", help="train nothing, print runs and hours")
    scoring_ = commands.add_parser("score", help="say what each finished run came to")
    scoring_.add_argument("runs", type=Path, metavar="RUNS", help="where the federations are")
    scoring_.add_argument("--root", type=Path, metavar="IMAGES", help="where the images are, if they were moved")
    writing = commands.add_parser("tables", help="write the tables and the heat maps")
    for each in (scoring_, writing):
        each.add_argument("--results", type=Path, metavar="FOLDER", default=scoring.RESULTS, help="results/matrix/")
    return parser


def carried_out(typed: argparse.Namespace, overrides: Sequence[str]) -> int:
    """Do it; the exit code.

    Raises:
        ValueError: in one line, if there is nothing to train, to score or to put into tables.
    """
    match typed.command:
        case "train":
            return _train(typed, overrides)
        case "score":
            return _score(typed)
        case "tables":
            file = typed.results / scoring.FILE
            rows = kept_rows(file)
            check(bool(rows), str(file), "there: python -m experiments.matrix score RUNS", "no such file")
            print(*tables.write(rows, typed.results), sep="\n")
    return 0


def _train(typed: argparse.Namespace, overrides: Sequence[str]) -> int:
    """1 if a run was refused or failed; the others are trained all the same."""
    if typed.data is not None:
        check_choice("--data", typed.data, images.names())
    seeds, first = typed.seeds and seed_range(typed.seeds), plan.read_plan()["seeds"][0]
    check(not seeds or seeds[0] >= first, "--seeds", f"from {first} on (others were looked at before)", typed.seeds)
    every = plan.cells(seeds)
    some = plan.chosen(every, typed.data, typed.attacks, typed.defenses)
    check(bool(some), "--attacks and --defenses", "of the matrix", (typed.attacks, typed.defenses))
    if typed.dry_run:
        print(budget(some, typed.runs, overrides))
        return 0
    images.check_root(typed.root)
    plan.check_runs(some, typed.runs, overrides)
    undone = carry_out(plan.jobs(some, typed.runs, str(typed.root), overrides), ())
    print(f"{len(some) - len(undone)} of {len(some)} runs are finished", file=sys.stderr)
    return int(bool(undone))


def _score(typed: argparse.Namespace) -> int:
    found = scoring.finished(typed.runs)
    wanted = "a folder with finished federations, DATA/DEFENSE/ATTACK-sN, in it"
    check(bool(found), "RUNS", wanted, str(typed.runs))
    if typed.root is not None:
        images.check_root(typed.root)
    unfinished = len(list(scoring.found(typed.runs))) - len(found)
    if unfinished:
        print(f"note: {unfinished} runs are not finished, and have no row", file=sys.stderr)
    if are_kept(typed.results, scoring.RESULTS):
        plan.check_runs(list(found), typed.runs, ())
    file = typed.results / scoring.FILE
    count = scoring.score(found, typed.runs, typed.root and str(typed.root), file)
    print(f"{count} runs in {file}")
    return 0


if __name__ == "__main__":
    main()
