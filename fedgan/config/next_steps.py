"""What a command says at its end: the commands that come next, to be copied into a shell as they are."""

import shlex
from collections.abc import Sequence
from pathlib import Path

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException

from fedgan.config.typed.paths import quoted


def report_of(folders: Sequence[Path]) -> str:
    """The line that says how a report on these folders is made.

    Example:
        >>> print(report_of([Path("outputs/train/my run")]))
        report: python -m fedgan.report 'outputs/train/my run'
    """
    return f"report: {shlex.join(['python', '-m', 'fedgan.report', *map(str, folders)])}"


def next_steps(folder: Path) -> list[str]:
    """Of a finished run: its report, and the commands that take it."""
    run = setting("run", str(folder))
    return [report_of([folder]), f"next: python -m fedgan.sample {run} out=FOLDER | python -m fedgan.evaluate {run}"]


def setting(key: str, value: str) -> str:
    """A text setting as it is typed in a shell, with quotes where the shell or Hydra need them.

    Example:
        >>> print(setting("run", "outputs/a"), setting("run", "it's"), setting("run", "a=1,b"))
        run=outputs/a 'run="it'"'"'s"' 'run="a=1,b"'
    """
    plain = f"{key}={value}"
    return shlex.quote(plain if _reads_as(plain, value) else f"{key}={quoted(value)}")


def _reads_as(override: str, value: str) -> bool:
    try:
        return OverridesParser.create().parse_override(override).value() == value
    except HydraException:
        return False
