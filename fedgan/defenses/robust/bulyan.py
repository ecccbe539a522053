"""Bulyan (El Mhamdi et al. 2018): clients selected by repeated Krum, then the values nearest to their median."""

from collections.abc import Mapping, Sequence

import numpy as np
from torch import Tensor

from fedgan.core.arguments import Count, component
from fedgan.core.round import Round
from fedgan.core.update import ClientUpdate
from fedgan.defenses.base import Aggregate
from fedgan.defenses.robust.coordinates import by_coordinate, middle
from fedgan.defenses.robust.gram import Matrix, gram_matrix, squared_distances
from fedgan.defenses.robust.krum import krum_scores
from fedgan.defenses.robust.rule import Condition, RobustRule


@component
class Bulyan(RobustRule):
    """theta = N - 2 f clients are selected; each coordinate is the mean of their theta - 2 f values nearest the median.

    Floating-point buffers too; whole-number ones take the mean of the selected, rounded. No client has a weight.

    Args:
        num_malicious: f, at least 1; N >= 4 f + 3.
    """

    num_malicious: Count = 1

    condition = Condition(4, 3)

    def aggregate(self, updates: Sequence[ClientUpdate], weights: Mapping[int, float], round_: Round) -> Aggregate:
        """See ``Defense``."""
        states, f = [update.state for update in updates], self.num_malicious
        selected = [states[i] for i in bulyan_picks(squared_distances(gram_matrix(states, round_)), f)]
        nearest = len(selected) - 2 * f
        return Aggregate(by_coordinate(selected, lambda values: mean_near_median(values, nearest)), weights=None)


def bulyan_picks(squared: Matrix, num_malicious: int) -> list[int]:
    """The N - 2 f clients that Krum selects one after the other, each time among those that are left.

    Example:
        >>> places = np.array([0.0, 1.0, 2.0, 3.5, 4.0, 6.0, 100.0])
        >>> [float(places[i]) for i in bulyan_picks((places - places[:, None]) ** 2, 1)]
        [2.0, 3.5, 1.0, 4.0, 0.0]
    """
    left, picks = list(range(len(squared))), []
    for _ in range(len(squared) - 2 * num_malicious):
        neighbors = max(1, len(left) - num_malicious - 2)
        best = int(np.argmin(krum_scores(squared[np.ix_(left, left)], neighbors=neighbors)))
        picks.append(left.pop(best))
    return picks


def mean_near_median(values: Tensor, count: int) -> Tensor:
    """The mean of each column's ``count`` values nearest to its median, (N, C) to (C,); of equally near ones the first.

    Example:
        >>> import torch
        >>> mean_near_median(torch.tensor([[2.0], [3.5], [1.0], [4.0], [0.0]]), 3)
        tensor([2.1667])
    """
    nearest = (values - middle(values)).abs().argsort(dim=0, stable=True)[:count]
    return values.gather(0, nearest).mean(dim=0)
