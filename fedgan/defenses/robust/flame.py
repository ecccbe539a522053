"""FLAME (Nguyen et al. 2022): the largest cluster of directions, clipped to the median length, with noise."""

from collections.abc import Mapping, Sequence

import numpy as np

from fedgan.core.arguments import component
from fedgan.core.round import Round
from fedgan.core.update import ClientUpdate, State
from fedgan.defenses.robust.gram import Matrix, alike, cosines, gram_matrix
from fedgan.defenses.robust.norm_clipping import Noise, clipped, noisy
from fedgan.defenses.robust.rule import WeightRule, indicator


@component
class Flame(WeightRule):
    """HDBSCAN on the cosine distances of the updates keeps the one cluster of more than half of the clients.

    All updates are clipped to the median length of all clients, those outside the cluster too; clipping changes no
    direction. Noise of standard deviation ``noise`` times that length is added to the aggregate's parameters. Where
    there is no cluster, everybody stays. It tolerates fewer than half malicious, and **drops 20 to 40 % of the clients
    where nobody attacks**. It clusters updates, where the paper clusters states, whose cosines are all 1 in a round.

    Args:
        noise: lambda, at least 0 (the paper's epsilon 3705 and delta 1 give 1.8e-4); 0 for none.
    """

    noise: Noise = 1.8e-4

    def __post_init__(self) -> None:
        self.clipped = {"bound": 0.0, "clipped": 0.0}

    def filter(self, updates: Sequence[ClientUpdate], round_: Round) -> Sequence[ClientUpdate]:
        """Clip all to the median length."""
        shorter, self.clipped = clipped(updates, round_)
        return shorter

    def rate(self, updates: Sequence[ClientUpdate], round_: Round) -> list[float]:
        """1 for the cluster, 0 for the others."""
        gram = gram_matrix([update.state for update in updates], round_)
        kept = list(range(len(updates))) if alike(gram) else largest_cluster(1.0 - cosines(gram))
        return indicator(kept, len(updates))

    def finish(self, state: State, round_: Round) -> State:
        """The aggregate with noise."""
        scale = self.noise * self.clipped["bound"]
        return noisy(state, scale, round_, "flame") if scale else state

    def receipt(self) -> Mapping[str, float]:
        """``bound``: the median length; ``clipped``: how many updates were longer."""
        return self.clipped


def largest_cluster(distance: Matrix) -> list[int]:
    """The positions in the cluster of more than half of the points; of all points where there is none.

    Args:
        distance: between points, (N, N), symmetric, 0 on the diagonal.

    Example:
        >>> places = np.array([0.0, 0.1, 0.2, 9.0])
        >>> largest_cluster(np.abs(places - places[:, None]))
        [0, 1, 2]
    """
    # A second to import: only those who cluster pay for it.
    from sklearn.cluster import HDBSCAN

    count = len(distance)
    # sklearn counts a point among its own neighbors: the paper's min_samples of 1 is 2 here.
    cluster = HDBSCAN(
        min_cluster_size=count // 2 + 1, min_samples=2, metric="precomputed", allow_single_cluster=True, copy=True
    )
    labels = cluster.fit_predict(distance)
    return [int(i) for i in np.flatnonzero(labels >= 0)] or list(range(count))
