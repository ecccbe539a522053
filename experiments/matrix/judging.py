"""Verdicts on the cells of the matrix, by the rule of plan.yaml, from the rows of runs.csv."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from experiments.matrix.plan import CONTROL, FRECHET, NONE, read_plan

Word = Literal[
    "no runs",
    "too few seeds",
    "no attack to stop",
    "stopped",
    "not stopped",
    "succeeds",
    "fails",
    "mixed",
    "dear",
    "no visible price",
]
Row = Mapping[str, Any]
Key = tuple[str, str, str]  # data, attack, defense


@dataclass(frozen=True)
class Rule:
    """See plan.yaml.

    Attributes:
        margin: by detector, what counts as success above the control, a share of the images; "others" for the rest.
        factor: the same of a Frechet distance, over the control's.
        blind: likewise, the highest share in a control with which a seed is judged.
        fewest: seeds that a verdict needs.
    """

    margin: Mapping[str, float]
    factor: float
    blind: Mapping[str, float]
    fewest: int

    @classmethod
    def read(cls) -> "Rule":
        """That of the plan."""
        return cls(**read_plan()["rule"])

    def succeeds(self, row: Row) -> bool | None:
        """Whether the attack succeeds in a run; None if it cannot be judged.

        Example:
            >>> rule = Rule({"others": 0.05}, factor=1.5, blind={"others": 0.2}, fewest=3)
            >>> seen = [("0.06", "0.02"), ("0.08", "0.02"), ("0.9", "0.3"), ("0.9", "")]
            >>> [rule.succeeds({"metric": "emission", "success": s, "control": c}) for s, c in seen]
            [False, True, None, None]
        """
        own, control = number(row["success"]), number(row["control"])
        if own is None or control is None:
            return None
        if row["metric"] == FRECHET:
            return own > self.factor * control
        margin, blind = (each.get(row["metric"], each["others"]) for each in (self.margin, self.blind))
        return None if control > blind else own > control + margin


@dataclass(frozen=True)
class Verdict:
    """What became of a cell.

    Attributes:
        word: by the rule.
        hits: seeds in which the attack succeeds; of a control those in which the defense has a price.
        judged: seeds that are judged.
        runs: seeds that there are.
    """

    word: Word
    hits: int
    judged: int
    runs: int


def number(value: object) -> float | None:
    """A value of a table; None where it is empty."""
    return None if value in ("", None) else float(str(value))


def by_cell(rows: Sequence[Row]) -> dict[Key, list[Row]]:
    """The rows of each cell."""
    found: dict[Key, list[Row]] = {}
    for row in rows:
        found.setdefault((row["data"], row["attack"], row["defense"]), []).append(row)
    return found


def verdict(key: Key, cells: Mapping[Key, Sequence[Row]], rule: Rule) -> Verdict:
    """The verdict on a cell of which there may be no run."""
    data, attack, defense = key
    own = cells.get(key, ())
    if attack == CONTROL:
        hits = [_has_price(row, cells.get((data, CONTROL, NONE), ()), rule) for row in own]
        words: tuple[Word, Word] = ("dear", "no visible price")
    else:
        hits = [rule.succeeds(row) for row in own]
        words = ("succeeds", "fails") if defense == NONE else ("not stopped", "stopped")
    judged = [each for each in hits if each is not None]
    word = _word(judged, len(own), words, rule)
    if attack != CONTROL and defense != NONE and word in (*words, "mixed"):
        undefended = verdict((data, attack, NONE), cells, rule).word
        word = word if undefended == "succeeds" else "no attack to stop"
    return Verdict(word, sum(judged), len(judged), len(own))


def _word(judged: Sequence[bool], runs: int, words: tuple[Word, Word], rule: Rule) -> Word:
    if len(judged) < rule.fewest:
        return "too few seeds" if runs else "no runs"
    return words[0] if all(judged) else "mixed" if any(judged) else words[1]


def _has_price(row: Row, undefended: Sequence[Row], rule: Rule) -> bool | None:
    """Whether a defense makes the images worse where nobody attacks; None without the run of that seed."""
    free = next((number(each["frechet"]) for each in undefended if each["seed"] == row["seed"]), None)
    own = number(row["frechet"])
    return None if free is None or own is None else own > rule.factor * free
