"""Multi-metrics (Huang et al. 2023): Manhattan, Euclidean and cosine distances to the others, weighed together."""

import math
from collections.abc import Sequence

import numpy as np
import torch

from fedgan.core.arguments import Share, component
from fedgan.core.round import Round
from fedgan.core.update import ClientUpdate, State
from fedgan.defenses.robust.gram import Matrix, alike, cosines, deltas_in_pieces, gram_matrix, lowest
from fedgan.defenses.robust.rule import Condition, WeightRule, indicator


@component
class MultiMetrics(WeightRule):
    """Clients with the lowest scores are kept: x' Sigma^-1 x, x a client's three sums of distances to all others.

    Sigma is the covariance of x over the clients; of fewer than ten it means little, so they are refused. x is not
    centered (as in the paper), and malicious clients widen Sigma: one that stands out is dropped, three that stand out
    together are dropped little more often than anybody. **It drops most honest clients** by design.

    Args:
        share: p, in (0, 1]: which share of the clients is kept, rounded down, at least one (the paper: 0.3).
    """

    share: Share = 0.3

    condition = Condition(2, 1, at_least=10)

    def rate(self, updates: Sequence[ClientUpdate], round_: Round) -> list[float]:
        """1 for those who are kept, 0 for the others."""
        states, count = [update.state for update in updates], len(updates)
        gram = gram_matrix(states, round_)
        if alike(gram):
            return [1.0] * count
        scores = mahalanobis(features(gram, manhattan(states, round_)))
        return indicator(lowest(scores, max(1, math.floor(self.share * count + 1e-9))), count)


def manhattan(states: Sequence[State], round_: Round) -> Matrix:
    """sum_k |delta_ik - delta_jk|, (N, N)."""
    total = sum(torch.cdist(piece, piece, p=1.0) for piece in deltas_in_pieces(states, round_))
    assert isinstance(total, torch.Tensor)
    found: Matrix = total.cpu().numpy()
    return found


def features(gram: Matrix, manhattan: Matrix) -> Matrix:
    """Each client's sums over the others of Manhattan distances, differences of length and cosine distances: (N, 3)."""
    length = np.sqrt(np.diag(gram))
    found: Matrix = np.stack(
        [manhattan.sum(axis=1), np.abs(length - length[:, None]).sum(axis=1), (1.0 - cosines(gram)).sum(axis=1)], axis=1
    )
    return found


def mahalanobis(x: Matrix) -> Matrix:
    """x_i' Sigma^-1 x_i with the covariance of the rows (N - 1), (N, 3) to (N,); a pseudo-inverse where it is singular.

    Example:
        >>> mahalanobis(np.array([[1.0, 0.0, 0.0], [-1.0, 0.0, 0.0], [0.0, 3.0, 0.0], [0.0, -3.0, 0.0]])).round(6)
        array([1.5, 1.5, 1.5, 1.5])
    """
    scores: Matrix = np.einsum("if,fg,ig->i", x, np.linalg.pinv(np.cov(x, rowvar=False), hermitian=True), x)
    return scores
