"""What the paper says, as data: the claims of a table or figure (its claims.yaml)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Literal

import yaml

from fedgan.core.arguments import Fraction, checked
from fedgan.core.checks import check

Kind = Literal["higher", "lower", "at_most", "at_least", "nearer", "succeeds"]
PAPERS = "FedDetect"  # the paper's rule; in the names of its arms, and in what claims say of it
NOT_THE_PAPERS = "Not in the paper: "
# By the name of an arm, by metric, a value for each seed.
Values = Mapping[str, Mapping[str, Mapping[int, float]]]


@checked
@dataclass(frozen=True)
class Claim:
    """What the paper says.

    Attributes:
        says: the claim in a sentence, and where the paper makes it.
        metric: the metric that it is judged by.
        arms: the arms that it speaks of, by name or by a pattern (fnmatch).
        kind: ``higher``, ``lower``, ``at_most`` or ``at_least``; ``nearer``: to ``than`` rather than to
            ``rather_than``; or ``succeeds``: at most so much, in more than a share of the federations.
        than: the arms that they are compared with; empty for the number ``value``.
        rather_than: the arms that they are farther from, of ``nearer``.
        than_metric: the metric looked at there, if it is another (``control_emission``: without attack).
        value: see ``than``.
        margin: of ``at_most``, ``at_least`` and ``succeeds``, in the metric's units.
        share: of ``succeeds``, in (0, 1): of the federations.
        each: whether every arm is compared alone, with the arm that stands in its place in ``than``, or with the only
            one there; or the only arm with each there.
        post_hoc: why and when it was made, or its rule changed, after metrics that it speaks of had been seen; empty if
            it was made before.

    Raises:
        ValueError: in one line, if the kind is unknown, the share out of range, or ``rather_than`` not its.
    """

    says: str
    metric: str
    arms: tuple[str, ...]
    kind: Kind
    than: tuple[str, ...] = ()
    rather_than: tuple[str, ...] = ()
    than_metric: str | None = None
    value: float = 0.0
    margin: float = 0.0
    share: Fraction = 0.5
    each: bool = False
    post_hoc: str = ""

    def __post_init__(self) -> None:
        fits = bool(self.rather_than) == (self.kind == "nearer")
        check(fits, "rather_than", "given with kind nearer and no other", self.rather_than)
        fits = self.share == 0.5 or self.kind == "succeeds"
        check(fits, "share", "given with kind succeeds and no other", self.share)

    @property
    def bound(self) -> float:
        """What the difference (of ``succeeds``: the share of the federations) has to be above or below."""
        return {"at_most": self.margin, "at_least": -self.margin, "succeeds": self.share}.get(self.kind, 0.0)

    @property
    def upward(self) -> bool:
        """Whether the claim is that it is above."""
        return self.kind in ("higher", "at_least", "succeeds")

    @property
    def compared_with(self) -> str:
        """The other side in words."""
        other = f"{', '.join(dict.fromkeys(self.than))}" if self.than else f"{self.value:g}"
        other += f" rather than {', '.join(self.rather_than)}" if self.rather_than else ""
        return f"{self.than_metric} of {other}" if self.than_metric else other

    @property
    def how(self) -> str:
        """The kind in words.

        Example:
            >>> Claim("excluded", "weight", ("a",), "succeeds", margin=0.05, each=True).how
            'each at most + 0.05, in more than 50 % of the federations'
        """
        margin = f" - {self.margin:g}" if self.kind == "at_least" else f" + {self.margin:g}"
        words = self.kind.replace("_", " ").replace("succeeds", "at most") + (margin if self.margin else "")
        words += f", in more than {self.share:.0%} of the federations".replace("%", " %") * (self.kind == "succeeds")
        return f"each {words}" if self.each else words


def read_claims(file: Path) -> list[Claim]:
    """The claims of a table or figure, from its claims.yaml.

    An entry with ``also_for`` stands for several: the paper's, and the same of each variant of its rule named there.
    """
    return [claim for entry in yaml.safe_load(file.read_text()) for claim in claims_of(entry)]


def claims_of(entry: Mapping[str, Any]) -> list[Claim]:
    """The entry's own claim, then those of the variants."""
    sides = {key: tuple(entry.get(key, ())) for key in ("arms", "than", "rather_than")}
    own = Claim(**{key: value for key, value in {**entry, **sides}.items() if key != "also_for"})
    return [own, *(of_variant(own, variant) for variant in entry.get("also_for", ()))]


def of_variant(claim: Claim, variant: str) -> Claim:
    """The same claim of a variant of the paper's rule, of which the paper says nothing.

    Example:
        >>> claim = Claim("FedDetect stops it", "emission", ("FedDetect 16",), "lower", than=("attack 16",))
        >>> own = of_variant(claim, "FedDetect (code)")
        >>> own.says, own.arms, own.than
        ('Not in the paper: FedDetect (code) stops it', ('FedDetect (code) 16',), ('attack 16',))
    """
    said = claim.says.removeprefix(NOT_THE_PAPERS).replace(PAPERS, variant)
    arms, than, rather_than = (
        tuple(arm.replace(PAPERS, variant) for arm in side) for side in (claim.arms, claim.than, claim.rather_than)
    )
    return replace(claim, says=NOT_THE_PAPERS + said, arms=arms, than=than, rather_than=rather_than)


def replaced(claim: Claim, instead: Mapping[str, str]) -> Claim:
    """The claim, judged by another metric where its own is missing.

    Example:
        >>> claim = Claim("normal images suffer", "lpips/NORMAL", ("attack 16",), "higher", than=("vanilla",))
        >>> replaced(claim, {"lpips": "lpips_classifier"}).metric
        'lpips_classifier/NORMAL'
    """
    kind, slash, of_class = claim.metric.partition("/")
    return replace(claim, metric=f"{instead.get(kind, kind)}{slash}{of_class}")


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
