"""Who stood out in a whole run to defenses that score clients, and by what: from receipts.csv."""

import csv
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

COMPONENT, SCORE = "defense.", "_score"


@dataclass
class StoodOut:
    """A client that was flagged, or whose score was above the threshold though it was not.

    Attributes:
        client: its id.
        first: the first round in which it was.
        last: the last one.
        rounds: in how many it was.
        view: the score that was highest in the last of them: its measure without ``_score``.
        score: that score.
        place: the first and last row and the first and last column that it speaks of; None where there is none.
        views: of each score that was above the threshold in one of these rounds, of the last such round: ``view``,
            ``score``, ``place``, and whether that is the ``whole`` image. Where the defense reports no threshold, of
            the score that was highest in the first.
    """

    client: int
    first: int
    last: int
    rounds: int
    view: str
    score: float
    place: list[int] | None
    views: dict[str, dict[str, Any]] = field(default_factory=dict)


@dataclass
class Scores:
    """What a defense has found in a run.

    Attributes:
        threshold: above which a client is flagged, of the last round; None where the defense reports none.
        highest: the highest score of all clients and rounds: ``client``, ``round``, ``view``, ``score``.
        flagged: by client.
        not_flagged: likewise clients above the threshold in rounds in which they were not flagged: because the defense
            only watches or warms up, or as many others are.
        rewound: after which ``round`` the generator was set back, and by how many ``rounds``.
    """

    threshold: float | None = None
    highest: dict[str, Any] = field(default_factory=dict)
    flagged: dict[int, StoodOut] = field(default_factory=dict)
    not_flagged: dict[int, StoodOut] = field(default_factory=dict)
    rewound: list[dict[str, int]] = field(default_factory=list)

    def take(self, round_: int, client: int, measures: Mapping[str, float]) -> None:
        """Add what was found of a client in a round; nothing where it has no score."""
        scores = {name.removesuffix(SCORE): value for name, value in measures.items() if name.endswith(SCORE)}
        if not scores:
            return
        view = max(scores, key=scores.__getitem__)
        if not self.highest or scores[view] > self.highest["score"]:
            self.highest = {"client": client, "round": round_, "view": view, "score": scores[view]}
        above = [name for name, score in scores.items() if self.threshold is not None and score > self.threshold]
        if measures.get("flagged") or above:
            where = self.flagged if measures.get("flagged") else self.not_flagged
            before = where.get(client, StoodOut(client, round_, round_, 0, view, scores[view], None))
            named = above or ([] if before.views else [view])
            views = before.views | {name: sight_of(name, measures) for name in named}
            place, rounds = place_in(view, measures), before.rounds + 1
            where[client] = StoodOut(client, before.first, round_, rounds, view, scores[view], place, views)

    def plain(self) -> dict[str, Any]:
        """As plain values; clients are lists, by id, and so is ``views``, in the order of the scores.

        ``not_flagged`` and ``rewound`` are left out where nobody is, and the generator never was.
        """
        clients = {"flagged": _listed(self.flagged), "not_flagged": _listed(self.not_flagged)}
        plain = asdict(self) | clients
        return {name: value for name, value in plain.items() if name not in ("not_flagged", "rewound") or value}


def _listed(clients: Mapping[int, StoodOut]) -> list[dict[str, Any]]:
    known = [asdict(clients[client]) for client in sorted(clients)]
    return [each | {"views": list(each["views"].values())} for each in known]


def sight_of(view: str, measures: Mapping[str, float]) -> dict[str, Any]:
    """What a view says of a client in a round; see ``StoodOut.views``."""
    place, whole = place_in(view, measures), bool(measures.get(f"{view}_whole"))
    return {"view": view, "score": measures[f"{view}{SCORE}"], "place": place, "whole": whole}


def scores_of(receipts: Path) -> dict[str, dict[str, Any]]:
    """By defense that scores clients, its ``Scores`` as plain values.

    Args:
        receipts: receipts.csv, with the rounds of a run in their order.
    """
    found: dict[str, Scores] = {}
    for (round_, component, client), measures in _groups(receipts):
        own = found.setdefault(component.removeprefix(COMPONENT), Scores())
        if client == "":
            own.threshold = measures.get("threshold")
            if rounds := int(measures.get("rewound", 0)):
                own.rewound.append({"round": int(round_), "rounds": rounds})
        else:
            own.take(int(round_), int(client), measures)
    return {name: own.plain() for name, own in found.items() if own.highest}


def place_in(view: str, measures: Mapping[str, float]) -> list[int] | None:
    """The rectangle that a view's measures name; of a view that names a point alone, the point.

    Example:
        >>> place_in("place", {"place_score": 9.5, "place_row": 28.0, "place_column": 30.0}), place_in("loss", {})
        ([28, 28, 30, 30], None)
    """
    row, column = measures.get(f"{view}_row"), measures.get(f"{view}_column")
    point = {"top": row, "bottom": row, "left": column, "right": column}
    edges = [measures.get(f"{view}_{edge}", value) for edge, value in point.items()]
    known = [int(edge) for edge in edges if edge is not None]
    return known if len(known) == len(edges) else None


def _groups(receipts: Path) -> Iterator[tuple[tuple[str, str, str], dict[str, float]]]:
    """The measures of each round, defense and client (empty for the defense as a whole)."""
    with receipts.open(newline="") as stream:
        rows = (row for row in csv.DictReader(stream) if row["component"].startswith(COMPONENT))
        for key, own in groupby(rows, key=itemgetter("round", "component", "client")):
            yield key, {row["measure"]: float(row["value"]) for row in own if row["value"]}
