"""Min-Max: no farther from any honest update than these are from each other (Shejwalkar & Houmansadr, NDSS 2021)."""

from torch import Tensor

from fedgan.update_attacks._optimized import Optimized, root


class MinMax(Optimized):
    """The bound: max_i |mu + g p - delta_i| <= max_ij |delta_i - delta_j|, over the honest clients of the round.

    g is exact. A search that halves its step from 10 ends below 20, and one that stops at its last midpoint may break
    the bound.
    """

    def __str__(self) -> str:
        """Such as ``Min-Max along std``."""
        return f"Min-Max along {self.direction}"

    def largest(self, distances: Tensor, a: Tensor, b: Tensor, c: float) -> float:
        """The least of what each honest update allows."""
        return float(root(a, b, c, bound=float(distances.max())).min())
