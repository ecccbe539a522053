"""The study's claims (claims.yaml), compared with its runs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any

import yaml

from experiments.paper.inference import compared, interval
from experiments.transfer.plan import control_of

CLAIMS = Path(__file__).parent / "claims.yaml"
FEWEST = 5  # seeds that a verdict needs
Row = Mapping[str, Any]
BySeed = dict[int, float]


@dataclass(frozen=True)
class Claim:
    """What is claimed of a setting; see claims.yaml.

    Attributes:
        says: the claim in a sentence.
        setting: whose gain over its control is looked at.
        minus: another setting, whose gain is taken off.
        at_most: the gain that it is claimed to stay at or below.
        at_least: the gain that it is claimed to reach; one of the two.
        data: the data set that it is about; None for each that has the setting.
    """

    says: str
    setting: str
    minus: str | None = None
    at_most: float | None = None
    at_least: float | None = None
    data: str | None = None


def claims(file: Path = CLAIMS) -> list[Claim]:
    """All of them, in their order."""
    return [Claim(**each) for each in yaml.safe_load(file.read_text())]


def by_seed(rows: Sequence[Row], data: str, setting: str, measure: str = "changed") -> BySeed:
    """A measure of a setting's federations."""
    return {int(r["seed"]): float(r[measure]) for r in rows if (r["data"], r["setting"]) == (data, setting)}


def gain(rows: Sequence[Row], data: str, setting: str) -> BySeed:
    """What the attack adds to ``changed``, by seed: less the same in the control with the same seed."""
    return _difference(by_seed(rows, data, setting), by_seed(rows, data, control_of(setting)))


def _difference(one: BySeed, other: BySeed) -> BySeed:
    return {seed: one[seed] - other[seed] for seed in sorted(one.keys() & other.keys())}


def judged(claim: Claim, rows: Sequence[Row], data: str) -> dict[str, str]:
    """A row of the table of claims.

    Example:
        >>> claim = Claim("always", "size8", at_least=0.1)
        >>> rows = [{"data": "d", "setting": s, "seed": i, "changed": v + i / 1000}
        ...         for i in range(5) for s, v in (("size8", 0.5), ("control_size8", 0.1))]
        >>> [judged(claim, some, "d")["verdict"] for some in (rows, rows[:8], [])]
        ['shown', 'too few seeds', 'too few seeds']
    """
    values = gain(rows, data, claim.setting)
    if claim.minus is not None:
        values = _difference(values, gain(rows, data, claim.minus))
    bound = f"at most {claim.at_most:g}" if claim.at_most is not None else f"at least {claim.at_least:g}"
    start = {"claim": claim.says, "data": data, "claimed": bound, "seeds": str(len(values))}
    if len(values) < FEWEST:
        return {**start, "mean": "-", "95 % interval": "-", "verdict": "too few seeds"}
    low, high = interval(list(values.values()))
    measured = {"mean": f"{mean(values.values()):.3f}", "95 % interval": f"{low:.3f} to {high:.3f}"}
    return {**start, **measured, "verdict": compared(low, high, at_most=claim.at_most, at_least=claim.at_least)}
