"""One form for every refusal: which setting, what is allowed, what was given."""

from collections.abc import Collection, Sequence
from difflib import get_close_matches


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
        raise ValueError(f"{setting} must be {allowed}; got {got!r}")


def unknown(name: str, known: Sequence[str]) -> str:
    """That there is no such argument, which there are, and which was probably meant.

    Example:
        >>> unknown("sample", ["samples", "share"])
        'sample is not an argument; it has: samples, share; did you mean samples?'
    """
    near = get_close_matches(name, known, n=1)
    meant = f"; did you mean {near[0]}?" if near else ""
    return f"{name} is not an argument; it has: {', '.join(known) or 'none'}{meant}"


def check_int(setting: str, value: object, *, low: int, high: int | None = None) -> None:
    """Refuse anything but a whole number in [low, high]."""
    within = isinstance(value, int) and not isinstance(value, bool) and value >= low
    within = within and (high is None or value <= high)  # type: ignore[operator]
    allowed = f"a whole number of at least {low}" if high is None else f"a whole number from {low} to {high}"
    check(within, setting, allowed, value)


def check_number(
    setting: str,
    value: object,
    *,
    low: float,
    high: float,
    low_allowed: bool = True,
    high_allowed: bool = True,
) -> None:
    """Refuse anything but a finite number between low and high."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    above = is_number and (value > low or (low_allowed and value == low))  # type: ignore[operator]
    below = is_number and (value < high or (high_allowed and value == high))  # type: ignore[operator]
    left, right = "[" if low_allowed else "(", "]" if high_allowed else ")"
    check(above and below, setting, f"a number in {left}{low:g}, {high:g}{right}", value)


def check_choice(setting: str, value: object, choices: Collection[str]) -> None:
    """Refuse anything but one of ``choices``."""
    check(value in tuple(choices), setting, "one of " + ", ".join(choices), value)
