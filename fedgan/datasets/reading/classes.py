"""Names of classes: as a user may give them, and what folders or rows make a class."""

from collections.abc import Collection, Mapping, Sequence
from typing import Annotated, Any
from unicodedata import normalize

from annotated_types import Predicate

from fedgan.core.arguments import Allowed, validated
from fedgan.core.folders import FolderName

# Each class, in the order of the labels, and the folders (or the values in a labels file) that make it.
Members = Mapping[str, tuple[str, ...]]

_NAMES = "a list of different names, or null"
_MEMBERS = "a list of different names, a mapping of each class to such a list, or null"
_MOST_LISTED = 20


def same_name(name: str) -> str:
    """The one spelling (NFC) of names that look alike: zip files from macOS spell é as e and an accent (NFD)."""
    return normalize("NFC", name)


def _is_list(value: object) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str) and len(value) > 0


def _are_lists(classes: Mapping[object, object]) -> bool:
    return bool(classes) and all(isinstance(part, str) or _is_list(part) for part in classes.values())


def _are_texts(items: Sequence[object]) -> bool:
    return all(isinstance(item, str) for item in items)


def _differ(names: Sequence[str]) -> bool:
    return len({same_name(name) for name in names}) == len(names)


Items = Annotated[Any, Predicate(_is_list)]  # at least one, in any kind of list, OmegaConf's too
Lists = Annotated[Any, Predicate(_are_lists), Allowed(_MEMBERS)]
ClassName = Annotated[FolderName, Allowed("names that a folder can have")]
# YAML reads 0 and no as a number and false.
Quoted = Annotated[Any, Predicate(_are_texts), Allowed('names in quotes, such as ["0", "1"] or ["no", "yes"]')]


def class_names(classes: object, allowed: str = _NAMES) -> tuple[str, ...]:
    """The names if there are any, if they differ, and if a folder can have each.

    Args:
        classes: as a user gave them.
        allowed: what the error says is allowed.

    Raises:
        ValueError: in one line, if not.

    Example:
        >>> class_names(["normal", "bacterial/viral"])
        Traceback (most recent call last):
        ...
        ValueError: classes must be names that a folder can have; got 'bacterial/viral'
    """
    names = _quoted(validated("classes", Annotated[Items, Allowed(allowed)], classes))
    validated("classes", Annotated[Any, Predicate(_differ), Allowed(allowed)], classes)
    return tuple(validated("classes", ClassName, name) for name in names)


def class_members(classes: object) -> Members:
    """What makes each class: the name itself for a list of names, the names listed for a mapping.

    Raises:
        ValueError: in one line, for anything else, and for a name that two classes list.

    Example:
        >>> class_members({"benign": ["nv", "bkl"], "malignant": "mel"})
        {'benign': ('nv', 'bkl'), 'malignant': ('mel',)}
    """
    if not isinstance(classes, Mapping):
        return {name: (name,) for name in class_names(classes, _MEMBERS)}
    parts = validated("classes", Lists, classes).values()
    members = [_quoted([part] if isinstance(part, str) else part) for part in parts]
    _refuse_repeated([(name, str(own)) for own, names in zip(classes, members, strict=True) for name in names])
    return dict(zip(class_names(list(classes), _MEMBERS), members, strict=True))


def choose(found: Collection[str], wanted: Members | None, place: str) -> Members:
    """The classes that are read: all that were found, sorted by name, or those that are wanted.

    Args:
        found: the names of folders, or the values in a labels file.
        wanted: ``dataset.classes``.
        place: where they were found.

    Raises:
        ValueError: if one that is wanted was not found.
    """
    if wanted is None:
        return {name: (name,) for name in sorted(found)}
    missing = [name for names in wanted.values() for name in names if name not in found]
    if missing:
        raise ValueError(f"dataset.classes must be among {listed(found)}, {place}; got {missing}")
    return wanted


def listed(names: Collection[str]) -> str:
    """Names for an error, sorted, at most 20 of them.

    Example:
        >>> listed({"b", "a"})
        "['a', 'b']"
    """
    more = len(names) - _MOST_LISTED
    return f"{sorted(names)[:_MOST_LISTED]}" + (f" and {more} more" if more > 0 else "")


def _refuse_repeated(named: Sequence[tuple[str, str]]) -> None:
    """Refuse a name that is listed twice; ``named``: each name and the class that lists it."""
    owner = dict[str, str]()
    for name, own in named:
        if name in owner:
            where = f"in {own!r} twice" if own == owner[name] else f"in both {owner[name]!r} and {own!r}"
            raise ValueError(f"classes must list each name once; {name!r} is {where}")
        owner[name] = own


def _quoted(items: Sequence[object]) -> tuple[str, ...]:
    """A list's strings, in the one spelling; it must have no others."""
    return tuple(same_name(item) for item in validated("classes", Quoted, items))
