"""Commands that take more than their own settings: folders in front of them, or what is another command's.

``python -m fedgan.report FOLDER FOLDER out=FILE``; ``python -m fedgan.calibrate seeds=10 dataset=chestx``.
"""

import functools
import os
import re
import sys
from collections.abc import Callable, Collection, Sequence
from typing import TypeVar

T = TypeVar("T")


def paths_first(main: Callable[[], T]) -> Callable[[], T]:
    """Make a command take the folders that are typed before its settings as its setting ``paths``."""
    return _rewriting(main, as_setting)


def others_as(name: str, own: Collection[str]) -> Callable[[Callable[[], T]], Callable[[], T]]:
    """Make a command take what is typed and is no setting of its ``own`` as its setting ``name``, a list."""
    return lambda main: _rewriting(main, functools.partial(collected, name=name, own=own))


def _rewriting(main: Callable[[], T], rewrite: Callable[[Sequence[str]], list[str]]) -> Callable[[], T]:
    """A command that sees its arguments rewritten."""

    @functools.wraps(main)
    def call() -> T:
        before = list(sys.argv)
        sys.argv[1:] = rewrite(sys.argv[1:])
        try:
            return main()
        finally:
            sys.argv[:] = before

    return call


def collected(arguments: Sequence[str], name: str, own: Collection[str]) -> list[str]:
    """Arguments with the settings that are neither ``own`` nor Hydra's as one setting; flags stay.

    Example:
        >>> collected(["--help", "seeds=3", "attack.size=[1,2]"], name="train", own=("seeds", "train"))
        ['--help', 'seeds=3', 'train=["attack.size=[1,2]"]']
    """

    def is_kept(argument: str) -> bool:
        group = re.split(r"[=./@]", argument.lstrip("+~"))[0]
        return argument.startswith("-") or "=" not in argument or group in (*own, "hydra")

    kept = [each for each in arguments if is_kept(each)]
    others = [each for each in arguments if not is_kept(each)]
    return [*kept, f"{name}=[{','.join(map(quoted, others))}]"] if others else kept


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
