"""Images that belong together, by their files' paths: those of one patient, say."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Annotated

from annotated_types import MinLen

from fedgan.core.arguments import Allowed, allowed
from fedgan.core.checks import check
from fedgan.datasets.reading.listing import Listing

PatternText = Annotated[str, MinLen(1), Allowed(r"a regular expression, such as '(person\d+|IM-\d+)'")]


def compiled(pattern: str) -> re.Pattern[str]:
    """The regular expression that ``group_pattern`` is.

    Raises:
        ValueError: in one line, if it is none.
    """
    try:
        return re.compile(pattern)
    except re.error as error:
        raise ValueError(f"group_pattern must be {allowed(PatternText | None)}; got {pattern!r} ({error})") from error


def group_by(pattern: re.Pattern[str], listing: Listing, root: Path) -> Listing:
    """The listing with groups by the pattern; a file that it does not match is a group of its own.

    Raises:
        ValueError: if it matches no file.
    """
    paths = [entry.file.relative_to(root).as_posix() for entry in listing.entries]
    groups = [_group(pattern.search(path)) for path in paths]
    unmatched = groups.count(None)
    fitting = f"a pattern that some of the {len(paths)} paths below dataset.root match, such as {paths[0]!r}"
    check(unmatched < len(paths), "dataset.group_pattern", fitting, pattern.pattern)
    entries = [entry._replace(group=group) for entry, group in zip(listing.entries, groups, strict=True)]
    note = f"dataset.group_pattern: {len(set(groups) - {None}):,} groups; it matches all but {unmatched:,} files"
    return replace(listing, entries=entries, notes=[*listing.notes, note])


def _group(match: re.Match[str] | None) -> str | None:
    """What the first group matched, or the whole where there is no group or it took no part."""
    if match is None:
        return None
    return (match[1] if match.re.groups else None) or match[0] or None
