"""Krum and Multi-Krum (Blanchard et al. 2017): the clients whose updates have the nearest neighbors."""

from collections.abc import Sequence
from typing import Annotated

import numpy as np
from annotated_types import Le

from fedgan.core.arguments import Allowed, Count, component, validated
from fedgan.core.round import Round
from fedgan.core.update import ClientUpdate
from fedgan.defenses.robust.gram import Matrix, alike, gram_matrix, lowest, squared_distances
from fedgan.defenses.robust.rule import Condition, WeightRule, indicator


@component
class Krum(WeightRule):
    """The mean of the clients with the lowest scores: sums of the N - f - 2 smallest squared distances to others.

    The selected have the same weight each, whatever number of images they state; the others are flagged. Updates
    that are all alike are all selected. Krum itself (``selected=1``) passes one client's generator, trained on one
    client's images: watch recall and diversity.

    Args:
        num_malicious: f, at least 1; N >= 2 f + 3.
        selected: how many are averaged, from 1 (Krum) to N - f; None for N - f (Multi-Krum). Where updates are lost
            in a round, at most as many as are left less f.
    """

    num_malicious: Count = 1
    selected: Count | None = None

    condition = Condition(2, 3)

    def setup(self, *, num_clients: int, clients_per_round: int, rounds: int) -> None:
        """Refuse too few clients, and more selected than are honest."""
        super().setup(num_clients=num_clients, clients_per_round=clients_per_round, rounds=rounds)
        most = clients_per_round - self.num_malicious
        words = Allowed(f"at most {most}, the round's clients less num_malicious={self.num_malicious}")
        validated("selected", Annotated[int, Le(most), words] | None, self.selected)

    def rate(self, updates: Sequence[ClientUpdate], round_: Round) -> list[float]:
        """1 for the selected, 0 for the others."""
        count, f = len(updates), self.num_malicious
        gram = gram_matrix([update.state for update in updates], round_)
        if alike(gram):
            return [1.0] * count
        scores = krum_scores(squared_distances(gram), neighbors=count - f - 2)
        return indicator(lowest(scores, min(self.selected or count, count - f)), count)


def krum_scores(squared: Matrix, *, neighbors: int) -> Matrix:
    """Each client's sum of its ``neighbors`` smallest squared distances to others, (N, N) to (N,).

    Example:
        >>> places = np.array([0.0, 1.0, 3.0, 10.0])
        >>> krum_scores((places - places[:, None]) ** 2, neighbors=2)
        array([ 10.,   5.,  13., 130.])
    """
    others = squared + np.diag(np.full(len(squared), np.inf))
    total: Matrix = np.sort(others, axis=1)[:, :neighbors].sum(axis=1)
    return total
