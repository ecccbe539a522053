"""What studies of several steps (train, score, tables) have in common on the command line."""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from experiments.federations import Setting, check_runs, chosen, train_all
from experiments.images import check_root
from experiments.settings import seed_range
from fedgan.config.command import Interrupted
from fedgan.core.checks import check


def carry_out_typed(
    parser: argparse.ArgumentParser, carried_out: Callable[[argparse.Namespace, Sequence[str]], int]
) -> None:
    """Do what is typed, and end with its exit code, or with one line where it is refused or interrupted.

    Args:
        parser: with a step as ``command``; what it does not know are overrides of train (key=value).
        carried_out: does it, given what was typed and the overrides.
    """
    typed, overrides = parser.parse_known_args()
    if overrides and (typed.command != "train" or any("=" not in text for text in overrides)):
        parser.error(f"overrides (key=value) are for train alone; got {' '.join(overrides)}")
    try:
        code = carried_out(typed, overrides)
    except (ValueError, Interrupted) as error:
        sys.exit(f"error: {error}" if isinstance(error, ValueError) else str(error))
    sys.exit(code)


def study_form(name: str, description: str | None, results: Path) -> argparse.ArgumentParser:
    """What can be typed of a study whose federations are settings and seeds.

    Args:
        name: of the module, ``experiments.audit``.
        description: its docstring, the first thing that --help shows.
        results: where its tables go if nothing else is typed.
    """
    parser = argparse.ArgumentParser(
        name, description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    usage = "%(prog)s RUNS --root IMAGES [--only PATTERN] [--seeds FIRST-LAST] [OVERRIDE ...]"
    training = commands.add_parser("train", help="train what is not there yet", usage=usage)
    training.add_argument("runs", type=Path, metavar="RUNS", help="where the federations go")
    training.add_argument(
        "--root", type=Path, required=True, metavar="IMAGES", help="with chest_xray/ and skin_lesions/"
    )
    training.add_argument("--only", metavar="PATTERN", help="settings: 'chest/*', '*/control*'")
    training.add_argument("--seeds", metavar="FIRST-LAST", help="of the settings' seeds these alone")
    scoring = commands.add_parser("score", help="measure what was trained")
    scoring.add_argument("runs", type=Path, metavar="RUNS", help="where the federations are")
    writing = commands.add_parser("tables", help="write the tables and the picture")
    for each in (scoring, writing):
        each.add_argument("--results", type=Path, metavar="FOLDER", default=results, help=f"results/{results.name}/")
    return parser


def train_typed(
    typed: argparse.Namespace, settings: Callable[[str], Sequence[Setting]], overrides: Sequence[str]
) -> int:
    """The ``train`` of ``study_form``; its exit code.

    Args:
        typed: what was typed.
        settings: of the study, given the folder with the images.
        overrides: of every run.

    Raises:
        ValueError: in one line, if there are no images, no such settings and seeds, or runs with other overrides.
    """
    check_root(typed.root)
    every = chosen(settings(str(typed.root)), typed.only, typed.seeds and seed_range(typed.seeds))
    check(bool(every), "--only and --seeds", "of the plan's settings and seeds", (typed.only, typed.seeds))
    check_runs(typed.runs, every, overrides)
    return train_all(typed.runs, every, overrides)
