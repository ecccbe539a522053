"""Aggregation weights before any defense acts."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

from fedgan.core.update import ClientUpdate, normalize


class Weighting(ABC):
    """How much weight each client has in the aggregate."""

    @abstractmethod
    def weigh(self, updates: Sequence[ClientUpdate]) -> dict[int, float]:
        """Weights by client id, not negative; they sum to 1."""


class NumExamples(Weighting):
    """n_k / n, each client's share of the round's training images (McMahan et al. 2017, Algorithm 1).

    Example:
        >>> NumExamples().weigh([ClientUpdate(0, 30, {}, {}), ClientUpdate(1, 10, {}, {})])
        {0: 0.75, 1: 0.25}
    """

    def weigh(self, updates: Sequence[ClientUpdate]) -> dict[int, float]:
        """See ``Weighting``."""
        shares = normalize([update.num_examples for update in updates])
        return {update.client_id: share for update, share in zip(updates, shares, strict=True)}


class Uniform(Weighting):
    """1/N for each of the N clients of the round, whatever they have (the paper, Eq. 3).

    Example:
        >>> Uniform().weigh([ClientUpdate(0, 30, {}, {}), ClientUpdate(1, 10, {}, {})])
        {0: 0.5, 1: 0.5}
    """

    def weigh(self, updates: Sequence[ClientUpdate]) -> dict[int, float]:
        """See ``Weighting``."""
        return {update.client_id: 1.0 / len(updates) for update in updates}
