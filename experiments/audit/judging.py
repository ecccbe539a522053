"""The study's claims (claims.yaml), held against its federations."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Literal

import yaml

from experiments.paper.inference import compared, share_interval

CLAIMS = Path(__file__).parent / "claims.yaml"
CLEAN = 0.03  # share of the images at the end
LOST = 0.02  # of honest clients' weight
Row = Mapping[str, Any]
Counted = Literal["false alarm", "found", "clean", "weight"]


@dataclass(frozen=True)
class Claim:
    """What is claimed of a detector; see claims.yaml.

    Attributes:
        says: the claim in a sentence.
        detector: its name.
        settings: patterns of ``data/setting``.
        counted: what is counted of a federation.
        by: of ``found``: the last round that counts, from 0.
        at_most: the share that it is claimed to stay at or below.
        at_least: the share that it is claimed to reach; one of the two.
    """

    says: str
    detector: str
    settings: tuple[str, ...]
    counted: Counted
    by: int = 19
    at_most: float | None = None
    at_least: float | None = None

    @classmethod
    def read(cls, given: Mapping[str, Any]) -> "Claim":
        """From its entry in the file."""
        return cls(
            **{name.replace(" ", "_"): value for name, value in given.items()} | {"settings": tuple(given["settings"])}
        )

    def covers(self, row: Row) -> bool:
        """Whether a row is of this detector in one of these settings."""
        name = f"{row['data']}/{row['setting']}"
        return row["detector"] == self.detector and any(fnmatchcase(name, each) for each in self.settings)

    def holds_of(self, row: Row) -> bool:
        """Whether what is counted is so in this federation."""
        match self.counted:
            case "false alarm":
                return int(row["honest"]) > 0
            case "found":
                seen = round_found(row)
                return seen is not None and seen <= self.by
            case "clean":
                return row["emission"] not in ("", None) and float(row["emission"]) <= CLEAN
            case "weight":
                return float(row["weight"]) <= LOST


def round_found(row: Row) -> int | None:
    """The first round in which all attackers are flagged, counted from 0; None if there is none.

    Example:
        >>> round_found({"found": "5.0"}), round_found({"found": ""})
        (5, None)
    """
    return None if row["found"] in ("", None) else int(float(row["found"]))


def claims(file: Path = CLAIMS) -> list[Claim]:
    """All of them, in their order."""
    return [Claim.read(each) for each in yaml.safe_load(file.read_text())]


def share(claim: Claim, rows: Iterable[Row]) -> tuple[int, int]:
    """In how many federations it is so, of how many."""
    own = [claim.holds_of(row) for row in rows if claim.covers(row)]
    return sum(own), len(own)


def judged(claim: Claim, rows: Sequence[Row]) -> dict[str, str]:
    """A row of the table of claims.

    Example:
        >>> claim = Claim("never", "d", ("x/*",), "false alarm", at_most=0.02)
        >>> rows = [{"data": "x", "setting": "c", "detector": "d", "honest": "0"}] * 300
        >>> judged(claim, rows)["verdict"], judged(claim, rows[:40])["verdict"], judged(claim, [])["verdict"]
        ('shown', 'open', 'no runs')
    """
    hits, count = share(claim, rows)
    bound = f"at most {claim.at_most:.0%}" if claim.at_most is not None else f"at least {claim.at_least:.0%}"
    start = {"claim": claim.says, "detector": claim.detector, "counted": claim.counted, "claimed": bound}
    if not count:
        return {**start, "measured": "-", "95 % interval": "-", "verdict": "no runs"}
    low, high = share_interval(hits, count)
    within = {"measured": f"{hits} of {count}", "95 % interval": f"{low:.1%} to {high:.1%}"}
    return {**start, **within, "verdict": compared(low, high, at_most=claim.at_most, at_least=claim.at_least)}
