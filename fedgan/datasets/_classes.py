"""Names of classes, as a user may give them."""

from collections.abc import Sequence

from fedgan.checks import check


def class_names(classes: Sequence[str]) -> tuple[str, ...]:
    """The names if there are any and they differ.

    Raises:
        ValueError: in one line, if not.
    """
    names = () if isinstance(classes, str) else tuple(classes)
    good = bool(names) and len(set(names)) == len(names) and all(isinstance(name, str) for name in names)
    check(good, "dataset.classes", "a list of different names, or null", classes)
    return names
