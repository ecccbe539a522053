"""The trimmed mean of each coordinate (Yin et al. 2018, Definition 2)."""

from collections.abc import Mapping, Sequence

from torch import Tensor

from fedgan.core.arguments import Count, component
from fedgan.core.round import Round
from fedgan.core.update import ClientUpdate
from fedgan.defenses.base import Aggregate
from fedgan.defenses.robust.coordinates import by_coordinate, ordered
from fedgan.defenses.robust.rule import RobustRule


@component
class TrimmedMean(RobustRule):
    """Of each coordinate the f lowest and the f highest values are left out, and the others averaged.

    Floating-point buffers too; whole-number ones take the mean, rounded. No client has a weight.

    Args:
        num_malicious: f, at least 1 and fewer than half of a round's clients. A count: a share of 0.2 of 4 clients
            would be nobody.
    """

    num_malicious: Count = 1

    def aggregate(self, updates: Sequence[ClientUpdate], weights: Mapping[int, float], round_: Round) -> Aggregate:
        """See ``Defense``."""
        state = by_coordinate([u.state for u in updates], lambda values: trimmed(values, self.num_malicious))
        return Aggregate(state, weights=None)


def trimmed(values: Tensor, count: int) -> Tensor:
    """The mean of each column without its ``count`` lowest and highest values, (N, C) to (C,).

    Example:
        >>> import torch
        >>> trimmed(torch.tensor([[0.0], [1.0], [0.0], [1.0], [10.0]]), 1)
        tensor([0.6667])
    """
    return ordered(values)[count : len(values) - count].mean(dim=0)
