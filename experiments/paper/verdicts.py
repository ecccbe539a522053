"""Whether a claim of the paper shows in our runs: one rule for all claims, in version control next to them.

A claim compares arms in one metric. For each seed take the difference between the arms that it names and those that
it compares them with (arms of one seed share the partition, the first weights and the evaluation's latents; only
reconstruction, which takes images from the clients, has different clients). What follows from them is ``RULE``.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import mean

from experiments.paper.claims import Claim, Values, expand, paired
from experiments.paper.inference import ALPHA, binomial_test, holm, interval, share_interval, t_test

RULE = (
    "A verdict is about the difference, seed by seed, between the arms of a claim and those that they are compared "
    "with (each side the mean of its arms): its mean over seeds and the 95 % t interval. *Higher* or *lower*: shown "
    "if the whole interval is on the claimed side of 0, reversed if on the other. *At most* or *at least*, give or "
    "take a margin: shown if the whole interval is within the margin, reversed if beyond. *Nearer*: the "
    "distance to the one side is lower than that to the other. *At most, in more than a share of the federations*, of "
    "what succeeds or fails: a seed succeeds if its own difference is at most the margin; shown if the exact 95 % "
    "interval of the share of seeds that succeed (Clopper-Pearson) is above the claimed share, reversed if below it; "
    "not judged with fewer than 10 seeds. *Each* arm is compared alone, and all of them have to show it. Anything else "
    "is not shown; without the metric, or with fewer than two seeds, not judged. The p value is two-sided and below "
    "0.05 exactly where the nominal verdict is shown or reversed: of the t test of the mean difference against 0 or "
    "the margin's end; of the exact binomial test of the share, the smaller tail doubled; of *each* the largest of its "
    "comparisons, or 1 if these point to different sides. *After Holm* the same p value is multiplied as Holm (1979) "
    "has it, over all claims judged here, so that the chance of one false verdict among them is 5 % at most. † marks a "
    "claim made post hoc: it was made, or its rule changed, after metrics that it is about had been seen. Of the runs "
    "seen by then its verdict proves nothing; runs made later test it like any other."
)
SHOWN, REVERSED, NOT_SHOWN, NOT_JUDGED = "shown", "reversed", "not shown", "not judged"
FEWEST = 10  # seeds, to judge a share of them: nine of ten is the least that shows more than half


@dataclass(frozen=True)
class Comparison:
    """The difference between two sides.

    Attributes:
        difference: mean over seeds; of a claim that counts successes, the share of seeds that succeed.
        low: the lower end of its 95 % interval; None with one seed and nothing to count.
        high: the upper end.
        seeds: how many there are.
        p: two-sided, against the claim's bound; None where there are too few seeds to judge.
        successes: how many seeds succeed; None of other claims.
    """

    difference: float
    low: float | None
    high: float | None
    seeds: int
    p: float | None
    successes: int | None = None


@dataclass(frozen=True)
class Verdict:
    """The outcome of a claim.

    Attributes:
        claim: which.
        verdict: ``shown``, ``not shown``, ``reversed`` or ``not judged``, as if it were the only claim.
        comparisons: what it rests on.
        p: the claim's p value; None if it is not judged.
        p_holm: the same after Holm's correction over all claims that are judged with it.
    """

    claim: Claim
    verdict: str
    comparisons: tuple[Comparison, ...]
    p: float | None
    p_holm: float | None

    @property
    def after_holm(self) -> str:
        """The verdict as one of all that are given with it."""
        return self.verdict if self.p_holm is None or self.p_holm < ALPHA else NOT_SHOWN


def judge_all(claims: Sequence[Claim], values: Values) -> list[Verdict]:
    """A verdict for each claim of a table or figure, with Holm's correction over those that can be judged."""
    verdicts = [judge(claim, values) for claim in claims]
    adjusted = iter(holm([verdict.p for verdict in verdicts if verdict.p is not None]))
    return [verdict if verdict.p is None else replace(verdict, p_holm=next(adjusted)) for verdict in verdicts]


def judge(claim: Claim, values: Values) -> Verdict:
    """Apply the rule to one claim alone.

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
    p_values = [each.p for each in comparisons if each.p is not None]
    if not comparisons or len(p_values) < len(compared):
        return Verdict(claim, NOT_JUDGED, comparisons, None, None)
    claimed = {(each.difference > claim.bound) == claim.upward for each in comparisons}
    p = max(p_values) if len(claimed) == 1 else 1.0
    return Verdict(claim, NOT_SHOWN if p >= ALPHA else SHOWN if True in claimed else REVERSED, comparisons, p, p)


def compare(
    claim: Claim, arms: Sequence[str], than: Sequence[str], rather_than: Sequence[str], values: Values
) -> Comparison | None:
    """One comparison; None where there is nothing to compare."""
    own = _mean_by_seed(values, arms, claim.metric)
    theirs = _mean_by_seed(values, than, claim.than_metric or claim.metric)
    others = _mean_by_seed(values, rather_than, claim.metric)
    if claim.kind == "nearer":
        seeds = [seed for seed in own if seed in theirs and seed in others]
        differences = [abs(own[seed] - theirs[seed]) - abs(own[seed] - others[seed]) for seed in seeds]
    else:
        seeds = [seed for seed in own if seed in theirs or not claim.than]
        differences = [own[seed] - theirs.get(seed, claim.value) for seed in seeds]
    if not differences:
        return None
    return _counted(claim, differences) if claim.kind == "succeeds" else _measured(claim, differences)


def _measured(claim: Claim, differences: Sequence[float]) -> Comparison:
    if len(differences) == 1:
        return Comparison(differences[0], None, None, 1, None)
    p = t_test(differences, claim.bound)
    return Comparison(mean(differences), *interval(differences), len(differences), p)


def _counted(claim: Claim, differences: Sequence[float]) -> Comparison:
    seeds, successes = len(differences), sum(each <= claim.margin for each in differences)
    p = binomial_test(successes, seeds, claim.share) if seeds >= FEWEST else None
    return Comparison(successes / seeds, *share_interval(successes, seeds), seeds, p, successes)


def _mean_by_seed(values: Values, arms: Sequence[str], metric: str) -> dict[int, float]:
    """The mean over arms, for the seeds that have the metric in all of them."""
    columns = [values.get(arm, {}).get(metric, {}) for arm in arms]
    seeds = set.intersection(*(set(column) for column in columns)) if columns else set()
    return {seed: mean(column[seed] for column in columns) for seed in sorted(seeds)}
