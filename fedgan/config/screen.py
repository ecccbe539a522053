"""Where tables are printed."""

import os

from rich.console import Console

WIDE = 200  # columns


def screen(*, stderr: bool = False) -> Console:
    """A console as wide as the terminal; ``WIDE`` where there is none, such as in a pipe, so that no cell is broken.

    Args:
        stderr: whether it prints to stderr, not to stdout.
    """
    console = Console(stderr=stderr)
    known = console.is_terminal or "COLUMNS" in os.environ
    return console if known else Console(stderr=stderr, width=WIDE)
