"""Classes as a setting: by name or by label."""

from collections.abc import Sequence
from typing import Annotated

from annotated_types import MinLen

from fedgan.core.arguments import Allowed, NonNegative
from fedgan.core.checks import check

Class = Annotated[str | NonNegative, Allowed("a class, by name or label")]
Classes = Annotated[Sequence[str | NonNegative], MinLen(1), Allowed("a list of at least one class, by name or label")]


def label_of(setting: str, wanted: str | int, classes: Sequence[str]) -> int:
    """The label of a class that is given by name or label.

    Raises:
        ValueError: in one line, under ``setting``, if there is no such class.

    Example:
        >>> label_of("target", "PNEUMONIA", ["NORMAL", "PNEUMONIA"]), label_of("target", 0, ["NORMAL", "PNEUMONIA"])
        (1, 0)
    """
    labels: dict[str | int, int] = {name: label for label, name in enumerate(classes)}
    labels |= {label: label for label in range(len(classes))}
    allowed = f"one of the classes {', '.join(classes)}, or a label from 0 to {len(classes) - 1}"
    check(wanted in labels, setting, allowed, wanted)
    return labels[wanted]
