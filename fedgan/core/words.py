"""Numbers, their nouns and reasons in what a user reads."""

import re
from collections.abc import Mapping


def counted(number: int, noun: str) -> str:
    """A number and its noun, which takes an s where the number is not 1.

    Example:
        >>> counted(1, "round"), counted(2000, "image")
        ('1 round', '2,000 images')
    """
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def inventory(counts: Mapping[str, int]) -> str:
    """Names with their counts.

    Example:
        >>> inventory({"normal": 2000, "pneumonia": 4})
        'normal 2,000, pneumonia 4'
    """
    return ", ".join(f"{name} {count:,}" for name, count in counts.items())


def name_lines(name: str, longest: int = 12) -> list[str]:
    """A long name as lines for the head of a column, broken after its signs.

    Example:
        >>> name_lines("weight_of_malicious"), name_lines("fl.malicious", 10), name_lines("seed")
        (['weight_of_', 'malicious'], ['fl.', 'malicious'], ['seed'])
    """
    lines = [""]
    for part in re.findall(r"[^_. ]*[_. ]?", name):
        if lines[-1] and len(lines[-1] + part.rstrip()) > longest:
            lines.append("")
        lines[-1] += part
    return [line.strip() for line in lines]


def reason_of(error: BaseException) -> str:
    """What an error says, in one line.

    Example:
        >>> reason_of(KeyError("spec")), reason_of(OSError("no\\nspace"))
        ("it has no 'spec'", 'no space')
    """
    return f"it has no {error}" if isinstance(error, KeyError) else " ".join(str(error).split())


def counted_reason(number: int, reason: str) -> str:
    """A number and the reason why so many were left out, which is written for many.

    Example:
        >>> counted_reason(1, "rows that repeat another"), counted_reason(1, "broken links")
        ('1 row that repeats another', '1 broken link')
        >>> counted_reason(1, "training images that are copies of test images"), counted_reason(2, "broken links")
        ('1 training image that is a copy of a test image', '2 broken links')
    """
    return f"{number:,} {_of_one(reason) if number == 1 else reason}"


def _of_one(reason: str) -> str:
    reason = reason.replace(" that are copies of test images", " that is a copy of a test image")
    reason = re.sub(r"^((?:\w+ )*?(?:link|row|image))s\b", r"\1", reason)
    return re.sub(r" that (lead|repeat)\b", r" that \1s", reason)
