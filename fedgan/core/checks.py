"""One form for every refusal: which setting, what is allowed, what was given."""

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path


def check(ok: bool, setting: str, allowed: str, got: object) -> None:
    """Refuse a setting in one line unless ``ok``.

    Raises:
        ValueError: naming the setting, what is allowed and what was given.

    Example:
        >>> check(False, "attack.size", "at least 1", 0)
        Traceback (most recent call last):
        ...
        ValueError: attack.size must be at least 1; got 0
    """
    if not ok:
        raise ValueError(f"{setting} must be {allowed}; got {as_typed(got)}")


def as_typed(value: object) -> str:
    """A value in an error: nothing is null, as users type it, a path its text, and an object the name of its class.

    Example:
        >>> as_typed(None), as_typed("a"), as_typed(Path("a")), as_typed(object())
        ('null', "'a'", "'a'", "'object'")
    """
    if value is None:
        return "null"
    said = repr(str(value) if isinstance(value, Path) else value)
    is_object = said.startswith("<") or "\n" in said  # an address says nothing, and an error is one line
    return repr(type(value).__name__) if is_object else said


def unknown(name: str, known: Sequence[str]) -> str:
    """That there is no such argument, which there are, and which was probably meant.

    Example:
        >>> unknown("sample", ["samples", "share"])
        'sample is not an argument; it has: samples, share; did you mean samples?'
    """
    near = get_close_matches(name, known, n=1)
    meant = f"; did you mean {near[0]}?" if near else ""
    return f"{name} is not an argument; it has: {', '.join(known) or 'none'}{meant}"


def check_choice(setting: str, value: object, choices: Collection[str]) -> None:
    """Refuse anything but one of ``choices``, where they are known only when the program runs."""
    check(value in tuple(choices), setting, "one of " + ", ".join(choices), value)


def check_at_least(setting: str, value: int, least: int, why: str) -> None:
    """Refuse a number below a bound that is known only when the program runs; the error says ``why`` after the bound.

    Example:
        >>> check_at_least("fl.num_clients", 2, 3, " for defense=feddetect")
        Traceback (most recent call last):
        ...
        ValueError: fl.num_clients must be at least 3 for defense=feddetect; got 2
    """
    check(value >= least, setting, f"at least {least}{why}", value)


def check_at_most(setting: str, value: int, most: int, why: str) -> None:
    """Refuse a number above a bound that is known only when the program runs; the error says ``why`` after the bound.

    Example:
        >>> check_at_most("fl.num_clients", 4, 3, ", the number of hospitals")
        Traceback (most recent call last):
        ...
        ValueError: fl.num_clients must be at most 3, the number of hospitals; got 4
    """
    check(value <= most, setting, f"at most {most}{why}", value)


@contextmanager
def placed(place: str) -> Iterator[None]:
    """Put a component's place in front of an error that begins with an argument of its own, not with another setting.

    Raises:
        ValueError: in one line.
    """
    try:
        yield
    except ValueError as error:
        own = "." not in str(error).partition(" ")[0]
        raise ValueError(f"{place}.{error}" if own else str(error)) from error
