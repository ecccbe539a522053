"""Which columns of a labels file hold what: those that a user names, or those with a usual name."""

import re
from collections.abc import Mapping, Sequence
from operator import not_
from typing import Annotated, Any

from annotated_types import Predicate

from fedgan.core.arguments import Allowed, Trial, is_filled, validated
from fedgan.core.checks import check
from fedgan.datasets.reading.classes import Items, listed

# By role the columns that play it; several only where a class is given by a 1 in one of them.
Columns = Mapping[str, tuple[str, ...]]

# Letters and digits alone, in the order of preference. A patient has several lesions, hence comes first.
_USUAL = {
    "file": (
        *("file", "filename", "filepath", "path", "image", "imageid", "imagename", "imagefile", "imagepath"),
        *("imageindex", "img", "imgid", "imgname", "imgpath", "isicid", "dicomid", "idcode", "name", "id"),
    ),
    "class": (
        *("class", "classname", "label", "labels", "category", "target", "diagnosis", "dx", "diagnostic"),
        *("benignmalignant", "finding", "findings", "findinglabels"),
    ),
    "split": ("split", "subset", "partition"),
    "group": (
        *("group", "groupid", "patient", "patientid", "subject", "subjectid"),
        *("case", "caseid", "lesion", "lesionid"),
    ),
    # Not site, which is a place on the body as often.
    "hospital": ("hospital", "hospitalid", "institution", "institutionid", "center", "centerid", "centre", "centreid"),
}

Column = Annotated[str, Predicate(is_filled)]
_OnlyOne = Annotated[Column | None, Allowed("a column, or null")]
_Several = Annotated[Column | Items | None, Allowed("a column, a list of columns, or null")]
_Optional = Annotated[Column | Annotated[bool, Predicate(not_)] | None, Allowed("a column, false (none), or null")]
_BY_ROLE = {"file": _OnlyOne, "class": _Several, "split": _Optional, "group": _Optional, "hospital": _Optional}


def _are_roles(columns: Mapping[str, object]) -> bool:
    return set(columns) <= set(_USUAL)


def _try_each(setting: str, columns: Mapping[str, object]) -> None:
    for role, value in columns.items():
        validated(f"{setting}.{role}", _BY_ROLE[role], value)


# As a user may give them.
GivenColumns = Annotated[
    Mapping[str, Any],
    Predicate(_are_roles),
    Allowed(f"a mapping of {', '.join(_USUAL)} to columns"),
    Trial(_try_each),
]


def columns_by_role(columns: GivenColumns | None) -> Mapping[str, object]:
    """What ``columns`` says by role: a column's name, several names, False or None."""
    given = {} if columns is None else columns
    return {role: given.get(role) for role in _USUAL}


def find_columns(present: Sequence[str], wanted: Mapping[str, object], name: str) -> Columns:
    """The columns by role; none for a split, group or hospital that is not there or not wanted.

    Args:
        present: the file's columns.
        wanted: as ``columns_by_role`` returns it.
        name: the file's name, for errors.

    Raises:
        ValueError: if one that is wanted is not there, or none has a usual name for the file or the class.

    Example:
        >>> find_columns(["lesion_id", "image_id", "dx"], columns_by_role({"group": False}), "a.csv")
        {'file': ('image_id',), 'class': ('dx',), 'split': (), 'group': (), 'hospital': ()}
    """
    found = {role: _columns(role, present, wanted[role], name) for role in _USUAL}
    for role in ("file", "class"):
        allowed = f"set to one of the columns of {name}, {listed(present)}, none of which has a usual name for it"
        check(bool(found[role]), f"dataset.columns.{role}", allowed, None)
    return found


def usual_column(role: str, present: Sequence[str]) -> str | None:
    """The column with a usual name for this role; the most usual one if there are several.

    Example:
        >>> usual_column("file", ["Patient ID", "Image Index"])
        'Image Index'
    """
    plain = {re.sub(r"[^a-z0-9]", "", name.casefold()): name for name in reversed(present)}
    return next((plain[name] for name in _USUAL[role] if name in plain), None)


def describe_columns(columns: Columns) -> str:
    """For a note: ``file from image_id, class from dx``."""
    return ", ".join(f"{role} from {' '.join(names)}" for role, names in columns.items() if names)


def _columns(role: str, present: Sequence[str], wanted: object, name: str) -> tuple[str, ...]:
    if wanted is False:
        return ()
    if wanted is None:
        usual = usual_column(role, present)
        return () if usual is None else (usual,)
    named = (wanted,) if isinstance(wanted, str) else tuple(wanted)  # type: ignore[arg-type]
    missing = [column for column in named if column not in present]
    check(not missing, f"dataset.columns.{role}", f"among the columns of {name}, {listed(present)}", missing)
    return named
