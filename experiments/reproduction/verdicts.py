"""Whether a claim of the paper shows in our runs, by a rule that was written down before they were made.

The rule: a claim compares two sets of arms in one figure. For each seed take the difference of their means (arms of
one seed share the clients' images, the first weights and the evaluation's latents), and of these differences the
mean and the 95 % t interval over seeds.

- ``higher``, ``lower``: shown if the whole interval lies on the claimed side of 0, reversed if it lies on the other.
- ``equal``: shown if it lies within plus or minus ``margin``, reversed if it lies wholly outside.
- Anything else, and a figure that is absent or has fewer than two seeds: not shown.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import yaml
from scipy.stats import t as student

from fedgan.checks import check_choice

RULE = (
    "Rule of the verdicts, stated before the runs: for each seed, the difference between the arms that a claim names "
    "and those it compares them with, averaged over classes and over the arms named; its mean over seeds and the 95 % "
    "t interval. Higher or lower: shown if the whole interval lies on the claimed side of 0, reversed if on the other. "
    "Equal: shown if it lies within the margin, reversed if wholly outside. Anything else: not shown."
)
SHOWN, REVERSED, NOT_SHOWN = "shown", "reversed", "not shown"
KINDS = ("higher", "lower", "equal")
# By the name of an arm, by figure, a value a seed.
Values = Mapping[str, Mapping[str, Mapping[int, float]]]


@dataclass(frozen=True)
class Claim:
    """What the paper says.

    Attributes:
        says: the claim in a sentence, and where the paper makes it.
        figure: what it is judged by.
        arms: the arms that it speaks of, by name.
        kind: ``higher``, ``lower`` or ``equal``.
        than: the arms that they are compared with; empty for the number ``value``.
        than_figure: the figure looked at there, if it is another (``control_emission``: the null).
        value: see ``than``.
        margin: of ``equal``: how far apart is still equal, as a share of the other side if ``relative``.
        relative: whether ``margin`` is a share or in the figure's own units.
    """

    says: str
    figure: str
    arms: tuple[str, ...]
    kind: str
    than: tuple[str, ...] = ()
    than_figure: str | None = None
    value: float = 0.0
    margin: float = 0.0
    relative: bool = False

    def __post_init__(self) -> None:
        check_choice("kind", self.kind, KINDS)


@dataclass(frozen=True)
class Verdict:
    """What came of a claim.

    Attributes:
        claim: it.
        verdict: ``shown``, ``not shown`` or ``reversed``.
        difference: mean over seeds; None where there is nothing to compare.
        low, high: the ends of its 95 % interval; None with fewer than two seeds.
        seeds: how many there are.
    """

    claim: Claim
    verdict: str
    difference: float | None
    low: float | None
    high: float | None
    seeds: int


def read_claims(file: Path) -> list[Claim]:
    """The claims of a table or figure, from its claims.yaml."""
    return [_claim(entry) for entry in yaml.safe_load(file.read_text())]


def _claim(entry: Mapping[str, Any]) -> Claim:
    sides = {key: tuple(entry.get(key, ())) for key in ("arms", "than")}
    return Claim(**{**entry, **sides})


def judge(claim: Claim, values: Values) -> Verdict:
    """Apply the rule.

    Example:
        >>> claim = Claim("the attack lowers quality", "lpips", ("attack 16",), "higher", than=("vanilla",))
        >>> values = {"attack 16": {"lpips": {0: 0.7, 1: 0.8}}, "vanilla": {"lpips": {0: 0.4, 1: 0.49}}}
        >>> judge(claim, values).verdict
        'shown'
    """
    ours, theirs = _by_seed(claim, values)
    seeds = sorted(set(ours) & set(theirs))
    differences = [ours[seed] - theirs[seed] for seed in seeds]
    if len(differences) < 2:
        return Verdict(claim, NOT_SHOWN, differences[0] if differences else None, None, None, len(seeds))
    low, high = interval(differences)
    margin = claim.margin * (abs(mean(theirs[seed] for seed in seeds)) if claim.relative else 1.0)
    return Verdict(claim, _verdict(claim.kind, low, high, margin), mean(differences), low, high, len(seeds))


def interval(values: Sequence[float]) -> tuple[float, float]:
    """The 95 % t interval of the mean of at least two values.

    Example:
        >>> [round(end, 3) for end in interval([1.0, 2.0, 3.0])]
        [-0.484, 4.484]
    """
    half = float(student.ppf(0.975, len(values) - 1)) * stdev(values) / len(values) ** 0.5
    return mean(values) - half, mean(values) + half


def _verdict(kind: str, low: float, high: float, margin: float) -> str:
    if kind == "equal":
        if -margin <= low and high <= margin:
            return SHOWN
        return REVERSED if low > margin or high < -margin else NOT_SHOWN
    above, below = low > 0, high < 0
    if kind == "lower":
        above, below = below, above
    return SHOWN if above else REVERSED if below else NOT_SHOWN


def _by_seed(claim: Claim, values: Values) -> tuple[dict[int, float], dict[int, float]]:
    ours = _mean_by_seed(values, claim.arms, claim.figure)
    if claim.than:
        return ours, _mean_by_seed(values, claim.than, claim.than_figure or claim.figure)
    return ours, dict.fromkeys(ours, claim.value)


def _mean_by_seed(values: Values, arms: Sequence[str], figure: str) -> dict[int, float]:
    """The mean over arms, for the seeds that have the figure in all of them."""
    columns = [values.get(arm, {}).get(figure, {}) for arm in arms]
    seeds = set.intersection(*(set(column) for column in columns))
    return {seed: mean(column[seed] for column in columns) for seed in sorted(seeds)}
