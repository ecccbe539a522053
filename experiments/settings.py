"""Settings that studies have in common: what they may be, and how they are typed on Hydra's command line."""

from collections.abc import Iterable

from omegaconf import ListConfig

from fedgan.config.typed.choices import parsed
from fedgan.core.arguments import Numbers, validated
from fedgan.core.checks import check


def checked_overrides(given: object) -> tuple[str, ...]:
    """Further settings of every run, as they were typed.

    Raises:
        ValueError: in one line, if they are no list, or if one of them stands for several runs.

    Example:
        >>> checked_overrides("fl.rounds=6")
        Traceback (most recent call last):
        ...
        ValueError: overrides must be a list of settings: 'overrides=["fl.rounds=6"]'; got 'fl.rounds=6'
    """
    texts = list(given) if isinstance(given, ListConfig) else []
    typed = isinstance(given, ListConfig) and all(isinstance(text, str) for text in texts)
    check(typed, "overrides", """a list of settings: 'overrides=["fl.rounds=6"]'""", given)
    several = [each.input_line for each in parsed(texts) if each.is_sweep_override()]
    check(not several, "overrides", "settings with one value each", several)
    return tuple(texts)


def checked_seeds(given: object) -> tuple[int, ...]:
    """The seeds of a study's runs.

    Raises:
        ValueError: in one line, if they are no list of at least one whole number of at least 0, each once.
    """
    return tuple(validated("seeds", Numbers, list(given) if isinstance(given, ListConfig) else given))


def seed_range(text: str) -> range:
    """The seeds from first to last.

    Raises:
        ValueError: in one line, where the text is no such range.

    Example:
        >>> seed_range("100-102")
        range(100, 103)
    """
    first, _, last = text.partition("-")
    numbers = first.isdecimal() and last.isdecimal() and int(first) <= int(last)
    check(numbers, "--seeds", "FIRST-LAST, such as 100-119", text)
    return range(int(first), int(last) + 1)


def listed(key: str, values: Iterable[object]) -> str:
    """An override that sweeps over values.

    Example:
        >>> listed("seed", [0, 1])
        'seed=0,1'
    """
    return f"{key}={','.join(map(str, values))}"


def quoted(text: str) -> str:
    """A text as one value on Hydra's command line, whatever is in it.

    Example:
        >>> print(quoted("/data/chest x-rays (1)"), quoted("it's"))
        '/data/chest x-rays (1)' 'it\\'s'
    """
    return "'" + text.replace("'", "\\'") + "'"
