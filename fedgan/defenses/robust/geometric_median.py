"""The geometric median of the updates by smoothed Weiszfeld steps (RFA: Pillutla, Kakade, Harchaoui 2022)."""

from collections.abc import Sequence

import numpy as np

from fedgan.core.arguments import Count, Positive, component
from fedgan.core.round import Round
from fedgan.core.update import ClientUpdate
from fedgan.defenses.robust.gram import Matrix, gram_matrix
from fedgan.defenses.robust.rule import WeightRule


@component
class GeometricMedian(WeightRule):
    """Clients weigh the less, the farther their updates are from the geometric median of all of them.

    It is one point for the whole vector of parameters, not one per tensor. The aggregate is the mean of the clients'
    states with the weights of the last pass, b_i, which clients.csv shows; nobody is flagged. It tolerates fewer than
    half malicious.

    Args:
        passes: Weiszfeld steps from the mean on, at least 1. A few are not the geometric median yet (the paper: 3).
        smoothing: nu, above 0: what a distance is at least taken for, in the unit of |delta|.
    """

    passes: Count = 8
    smoothing: Positive = 1e-6

    def rate(self, updates: Sequence[ClientUpdate], round_: Round) -> list[float]:
        """b_i."""
        gram = gram_matrix([update.state for update in updates], round_)
        return [float(b) for b in weiszfeld(gram, self.passes, self.smoothing)]


def weiszfeld(gram: Matrix, passes: int, smoothing: float) -> Matrix:
    """The weights b, (N,), summing to 1, of the point v = sum_i b_i delta_i after some passes.

    |delta_i - v|^2 = K_ii - 2 (K b)_i + b' K b, so inner products are enough.

    Example:
        >>> x = np.array([0.0, 1.0, 10.0])
        >>> [round(float(weiszfeld(np.outer(x, x), n, 1e-6) @ x), 4) for n in (1, 2, 3, 4)]
        [2.4254, 1.6227, 1.1957, 1.0307]
    """
    b = np.full(len(gram), 1.0 / len(gram))
    for _ in range(passes):
        squared = np.diag(gram) - 2.0 * gram @ b + b @ gram @ b
        b = 1.0 / np.maximum(np.sqrt(np.maximum(squared, 0.0)), smoothing)
        b /= b.sum()
    return b
