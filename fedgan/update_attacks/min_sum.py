"""Min-Sum: a sum of squared distances no greater than an honest client's (Shejwalkar & Houmansadr, NDSS 2021)."""

from torch import Tensor

from fedgan.update_attacks._optimized import Optimized, root


class MinSum(Optimized):
    """The bound: sum_i |mu + g p - delta_i|^2 <= max_i sum_j |delta_i - delta_j|^2, over the round's honest clients.

    The maximum over i is the paper's (Equation 3); the authors' code takes the minimum, which is a weaker attack. g is
    exact.
    """

    def __str__(self) -> str:
        """Such as ``Min-Sum along std``."""
        return f"Min-Sum along {self.direction}"

    def largest(self, distances: Tensor, a: Tensor, b: Tensor, c: float) -> float:
        """What all honest updates allow together."""
        return float(root(a.sum(), b.sum(), c * len(a), bound=float(distances.sum(dim=1).max())))
