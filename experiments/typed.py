"""What studies of several steps (train, score, tables) have in common on the command line."""

import argparse
import sys
from collections.abc import Callable, Sequence

from fedgan.config.command import Interrupted


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
