"""Images that belong together, by their files' paths: those of one patient or hospital, say."""

import re
from collections.abc import Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from annotated_types import MinLen
from torch import Tensor

from fedgan.core.arguments import Allowed, allowed
from fedgan.core.checks import check
from fedgan.datasets.reading.listing import Listing

Role = Literal["group", "hospital"]
PatternText = Annotated[str, MinLen(1), Allowed(r"a regular expression, such as '(person\d+|IM-\d+)'")]


def compiled(setting: str, pattern: str) -> re.Pattern[str]:
    """The regular expression that ``group_pattern`` or ``hospital_pattern`` is.

    Raises:
        ValueError: in one line, if it is none.
    """
    try:
        return re.compile(pattern)
    except re.error as error:
        raise ValueError(f"{setting} must be {allowed(PatternText | None)}; got {pattern!r} ({error})") from error


def group_by(pattern: re.Pattern[str], listing: Listing, root: Path, role: Role = "group") -> Listing:
    """The listing with groups, or hospitals, by the pattern; a file that it does not match is one of its own.

    Raises:
        ValueError: if it matches no file.
    """
    paths = [entry.file.relative_to(root).as_posix() for entry in listing.entries]
    groups = [_group(pattern.search(path)) for path in paths]
    unmatched = groups.count(None)
    fitting = f"a pattern that some of the {len(paths)} paths below dataset.root match, such as {paths[0]!r}"
    check(unmatched < len(paths), f"dataset.{role}_pattern", fitting, pattern.pattern)
    named: list[dict[str, Any]] = [{role: group} for group in groups]
    entries = [entry._replace(**name) for entry, name in zip(listing.entries, named, strict=True)]
    note = f"dataset.{role}_pattern: {len(set(groups) - {None}):,} {role}s; it matches all but {unmatched:,} files"
    return replace(listing, entries=entries, notes=[*listing.notes, note])


def numbered(names: Sequence[str | None]) -> Tensor | None:
    """A number for each name, in the order of the names; None is unlike anything. None if there is no name at all.

    Example:
        >>> numbered(["b", None, "a", "b", None]), numbered([None, None])
        (tensor([1, 2, 0, 1, 3]), None)
    """
    known = sorted({name for name in names if name is not None})
    if not known:
        return None
    number_of, others = {name: number for number, name in enumerate(known)}, count(len(known))
    return torch.tensor([next(others) if name is None else number_of[name] for name in names])


def _group(match: re.Match[str] | None) -> str | None:
    """What the first group matched, or the whole where there is no group or it took no part."""
    if match is None:
        return None
    return (match[1] if match.re.groups else None) or match[0] or None
