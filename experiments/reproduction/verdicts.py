"""Whether a claim of the paper shows in our runs: one rule for all claims, in version control beside them.

A claim compares arms in one figure. For each seed take the difference between the arms that it names and those that
it compares them with (arms of one seed share the partition, the first weights and the evaluation's latents; only
reconstruction, which takes images from the clients, has clients of its own), and of these differences the mean and the
95 % t interval over seeds. The rest is ``RULE``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import yaml
from scipy.stats import t as student

from fedgan.checks import check, check_choice

RULE = (
    "A verdict is about the difference, seed by seed, between the arms of a claim and those that they are compared "
    "with (each side the mean of its arms): its mean over seeds and the 95 % t interval. *Higher* or *lower*: shown "
    "if the whole interval lies on the claimed side of 0, reversed if on the other. *At most* or *at least*, give or "
    "take a margin: shown if the whole interval lies within the margin's end, reversed if beyond. *Nearer*: the "
    "distance to the one side is lower than that to the other. *Each* arm is compared alone, and all of them have to "
    "show it. Anything else is not shown; without the figure, or with fewer than two seeds, not judged."
)
SHOWN, REVERSED, NOT_SHOWN, NOT_JUDGED = "shown", "reversed", "not shown", "not judged"
KINDS = ("higher", "lower", "at_most", "at_least", "nearer")
# By the name of an arm, by figure, a value a seed.
Values = Mapping[str, Mapping[str, Mapping[int, float]]]


@dataclass(frozen=True)
class Claim:
    """What the paper says.

    Attributes:
        says: the claim in a sentence, and where the paper makes it.
        figure: what it is judged by.
        arms: the arms that it speaks of, by name or by a pattern (fnmatch).
        kind: ``higher``, ``lower``, ``at_most`` or ``at_least``; or ``nearer``: to ``than`` rather than to
            ``rather_than``.
        than: the arms that they are compared with; empty for the number ``value``.
        rather_than: the arms that they are farther from, of ``nearer``.
        than_figure: the figure looked at there, if it is another (``control_emission``: the null).
        value: see ``than``.
        margin: of ``at_most`` and ``at_least``, in the figure's units.
        each: whether every arm is compared alone, with the arm that stands in its place in ``than``, or with the only
            one there; or the only arm with each there.

    Raises:
        ValueError: in one line, if the kind is unknown or ``rather_than`` is not its.
    """

    says: str
    figure: str
    arms: tuple[str, ...]
    kind: str
    than: tuple[str, ...] = ()
    rather_than: tuple[str, ...] = ()
    than_figure: str | None = None
    value: float = 0.0
    margin: float = 0.0
    each: bool = False

    def __post_init__(self) -> None:
        check_choice("kind", self.kind, KINDS)
        fits = bool(self.rather_than) == (self.kind == "nearer")
        check(fits, "rather_than", "given with kind nearer and no other", self.rather_than)

    @property
    def compared_with(self) -> str:
        """The other side in words."""
        other = f"{', '.join(dict.fromkeys(self.than))}" if self.than else f"{self.value:g}"
        other += f" rather than {', '.join(self.rather_than)}" if self.rather_than else ""
        return f"{self.than_figure} of {other}" if self.than_figure else other

    @property
    def how(self) -> str:
        """The kind in words."""
        margin = f" + {self.margin:g}" if self.kind == "at_most" else f" - {self.margin:g}"
        words = self.kind.replace("_", " ") + (margin if self.margin else "")
        return f"each {words}" if self.each else words


@dataclass(frozen=True)
class Comparison:
    """The difference between two sides: mean over seeds, the ends of its 95 % interval (None with one seed)."""

    difference: float
    low: float | None
    high: float | None
    seeds: int


@dataclass(frozen=True)
class Verdict:
    """What came of a claim: ``shown``, ``not shown``, ``reversed`` or ``not judged``, and what it rests on."""

    claim: Claim
    verdict: str
    comparisons: tuple[Comparison, ...]


def read_claims(file: Path) -> list[Claim]:
    """The claims of a table or figure, from its claims.yaml."""
    return [_claim(entry) for entry in yaml.safe_load(file.read_text())]


def _claim(entry: Mapping[str, Any]) -> Claim:
    sides = {key: tuple(entry.get(key, ())) for key in ("arms", "than", "rather_than")}
    return Claim(**{**entry, **sides})


def judge(claim: Claim, values: Values) -> Verdict:
    """Apply the rule.

    Example:
        >>> claim = Claim("the attack lowers quality", "lpips", ("attack 16",), "higher", than=("vanilla",))
        >>> values = {"attack 16": {"lpips": {0: 0.7, 1: 0.8}}, "vanilla": {"lpips": {0: 0.4, 1: 0.49}}}
        >>> judge(claim, values).verdict
        'shown'
    """
    sides: list[Sequence[str]] = [expand(side, values) for side in (claim.arms, claim.than, claim.rather_than)]
    parts = paired(*sides) if claim.each else [sides]
    compared = [compare(claim, arms, than, rather_than, values) for arms, than, rather_than in parts]
    comparisons = tuple(each for each in compared if each is not None)
    verdicts = {_verdict(claim, each) for each in comparisons}
    if not comparisons or len(comparisons) < len(compared) or NOT_JUDGED in verdicts:
        return Verdict(claim, NOT_JUDGED, comparisons)
    return Verdict(claim, verdicts.pop() if len(verdicts) == 1 else NOT_SHOWN, comparisons)


def expand(patterns: Sequence[str], values: Values) -> list[str]:
    """The arms that these names stand for; a name without ``*``, ``?`` or ``[`` stands for itself, known or not.

    Example:
        >>> expand(("chestx: vanilla @ *",), {"chestx: vanilla @ 1": {}, "isic: vanilla @ 1": {}})
        ['chestx: vanilla @ 1']
    """
    found: list[str] = []
    for pattern in patterns:
        found += [n for n in values if fnmatchcase(n, pattern)] if set(pattern) & set("*?[") else [pattern]
    return found


def paired(*sides: Sequence[str]) -> list[list[Sequence[str]]]:
    """The comparisons of a claim about each arm: a side's only arm, or none, is in all of them.

    Raises:
        ValueError: in one line, if two sides have several arms, and not the same number.

    Example:
        >>> paired(["a", "b"], ["c", "d"], []), paired(["a"], ["c", "d"], [])
        ([[['a'], ['c'], []], [['b'], ['d'], []]], [[['a'], ['c'], []], [['a'], ['d'], []]])
    """
    count = max(map(len, sides))
    for side in sides:
        check(len(side) in (0, 1, count), "each", f"0, 1 or {count} arms on a side of this claim", side)
    return [[[side[i]] if len(side) == count else side for side in sides] for i in range(count)]


def compare(
    claim: Claim, arms: Sequence[str], than: Sequence[str], rather_than: Sequence[str], values: Values
) -> Comparison | None:
    """One comparison; None where there is nothing to compare."""
    ours = _mean_by_seed(values, arms, claim.figure)
    theirs = _mean_by_seed(values, than, claim.than_figure or claim.figure)
    others = _mean_by_seed(values, rather_than, claim.figure)
    if claim.kind == "nearer":
        seeds = [seed for seed in ours if seed in theirs and seed in others]
        differences = [abs(ours[seed] - theirs[seed]) - abs(ours[seed] - others[seed]) for seed in seeds]
    else:
        seeds = [seed for seed in ours if seed in theirs or not claim.than]
        differences = [ours[seed] - theirs.get(seed, claim.value) for seed in seeds]
    if not differences:
        return None
    low, high = interval(differences) if len(differences) > 1 else (None, None)
    return Comparison(mean(differences), low, high, len(differences))


def interval(values: Sequence[float]) -> tuple[float, float]:
    """The 95 % t interval of the mean of at least two values.

    Example:
        >>> [round(end, 3) for end in interval([1.0, 2.0, 3.0])]
        [-0.484, 4.484]
    """
    half = float(student.ppf(0.975, len(values) - 1)) * stdev(values) / len(values) ** 0.5
    return mean(values) - half, mean(values) + half


def _verdict(claim: Claim, comparison: Comparison) -> str:
    low, high = comparison.low, comparison.high
    if low is None or high is None:
        return NOT_JUDGED
    if claim.kind in ("lower", "nearer", "at_least"):  # the same the other way round
        low, high = -high, -low
    if claim.kind in ("higher", "lower", "nearer"):
        return SHOWN if low > 0 else REVERSED if high < 0 else NOT_SHOWN
    return SHOWN if high <= claim.margin else REVERSED if low > claim.margin else NOT_SHOWN


def _mean_by_seed(values: Values, arms: Sequence[str], figure: str) -> dict[int, float]:
    """The mean over arms, for the seeds that have the figure in all of them."""
    columns = [values.get(arm, {}).get(figure, {}) for arm in arms]
    seeds = set.intersection(*(set(column) for column in columns)) if columns else set()
    return {seed: mean(column[seed] for column in columns) for seed in sorted(seeds)}
