"""What studies of several steps (train, score, tables) have in common on the command line."""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from experiments.federations import Setting, budget, check_runs, chosen, train_all, without
from experiments.images import check_root
from experiments.measures import kept_rows
from experiments.settings import seed_range
from fedgan.config.refusals import Interrupted
from fedgan.core.checks import check

_GUESS = 120.0  # seconds of a federation on one core


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


def study_form(name: str, description: str | None, file: Path) -> argparse.ArgumentParser:
    """What can be typed of a study whose federations are settings and seeds.

    Args:
        name: of the module, ``experiments.audit``.
        description: its docstring, the first thing that --help shows.
        file: where its rows go, and next to it its tables, if nothing else is typed.
    """
    parser = argparse.ArgumentParser(
        name, description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    usage = "%(prog)s RUNS --root IMAGES [--only PATTERN] [--seeds FIRST-LAST] [--missing] [--dry-run] [OVERRIDE ...]"
    training = commands.add_parser("train", help="train what is not there yet", usage=usage)
    training.add_argument("runs", type=Path, metavar="RUNS", help="where the federations go")
    training.add_argument("--root", type=Path, metavar="IMAGES", help="with chest_xray/ and skin_lesions/")
    training.add_argument("--only", metavar="PATTERN", help="settings: 'chest/*', '*/control*'")
    training.add_argument("--seeds", metavar="FIRST-LAST", help="of the settings' seeds these alone")
    where = "/".join(file.parts[-3:])
    training.add_argument("--missing", action="store_true", help=f"those without a row in {where} alone")
    training.add_argument("--dry-run", action="store_true", help="train nothing, print runs and hours")
    training.set_defaults(file=file)
    scoring = commands.add_parser("score", help="measure what was trained")
    scoring.add_argument("runs", type=Path, metavar="RUNS", help="where the federations are")
    writing = commands.add_parser("tables", help="write the tables and the picture")
    for each in (scoring, writing):
        each.add_argument(
            "--results", type=Path, metavar="FOLDER", default=file.parent, help="/".join(file.parts[-3:-1])
        )
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
    if not typed.dry_run:
        check_root(typed.root)
    every = chosen(settings(str(typed.root)), typed.only, typed.seeds and seed_range(typed.seeds))
    check(bool(every), "--only and --seeds", "of the plan's settings and seeds", (typed.only, typed.seeds))
    if typed.missing:
        every = without(every, _counted(typed.file))
        if not every:
            print(f"nothing is missing in {typed.file}")
            return 0
    check_runs(typed.runs, every, overrides)
    if typed.dry_run:
        print(budget(every, typed.runs, _GUESS))
        return 0
    return train_all(typed.runs, every, overrides)


def are_kept(results: Path, own: Path) -> bool:
    """Whether a typed folder is the one in which a study keeps its results, however it is written.

    Example:
        >>> are_kept(Path("experiments/../results"), Path("results").resolve())
        True
    """
    return results.resolve() == own.resolve()


def _counted(file: Path) -> set[tuple[str, str, int]]:
    """Data, setting and seed of the federations that have a row."""
    return {(row["data"], row["setting"], int(row["seed"])) for row in kept_rows(file)}
