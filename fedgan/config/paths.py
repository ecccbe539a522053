"""Commands that take folders first and settings after them: ``python -m fedgan.report FOLDER FOLDER out=FILE``."""

import functools
import os
import re
import sys
from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")


def paths_first(main: Callable[[], T]) -> Callable[[], T]:
    """Make a command take the folders that are typed before its settings as its setting ``paths``."""

    @functools.wraps(main)
    def call() -> T:
        before = list(sys.argv)
        sys.argv[1:] = as_setting(sys.argv[1:])
        try:
            return main()
        finally:
            sys.argv[:] = before

    return call


def as_setting(arguments: Sequence[str]) -> list[str]:
    """Arguments with those before the first setting or option as one setting.

    One with ``=`` in it is a setting, unless there is a file or folder of that name.

    Example:
        >>> as_setting(["outputs/a", "b c", "out=x.html"])
        ['paths=["outputs/a","b c"]', 'out=x.html']
        >>> as_setting(["--help"])
        ['--help']
    """
    first = next((i for i, each in enumerate(arguments) if not _is_path(each)), len(arguments))
    if first == 0:
        return list(arguments)
    return [f"paths=[{','.join(map(quoted, arguments[:first]))}]", *arguments[first:]]


def _is_path(argument: str) -> bool:
    return os.path.lexists(argument) or not (argument.startswith("-") or "=" in argument)


def quoted(text: str) -> str:
    r"""A text as Hydra reads it between double quotes: whatever it contains stays as it is.

    Example:
        >>> print(quoted('say "x"'), quoted("${seed}"))
        "say \"x\"" "\${seed}"
    """
    # Backslashes are read as they are, but for those in front of a quote, which are halved.
    escaped = re.sub(r'(\\*)("|$)', lambda found: found[1] * 2 + ('\\"' if found[2] else ""), text)
    return '"' + escaped.replace("${", "\\${") + '"'
