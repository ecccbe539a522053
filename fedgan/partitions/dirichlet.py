"""Clients that differ in how many images of each class they have: shares drawn from a Dirichlet distribution."""

from functools import partial

import numpy as np
from torch import Tensor

from fedgan.core.arguments import Count, component
from fedgan.core.images import ImageSet
from fedgan.partitions._rules import (
    Concentration,
    MinImages,
    Sizes,
    check_enough,
    cut,
    drawn_until,
    largest_remainder,
    shuffled_classes,
)
from fedgan.partitions.base import Partition


@component
class Dirichlet(Partition):
    """Each class is shared out on its own, in shares p ~ Dir(alpha 1_N) (Yurochkin et al. 2019, arXiv 1905.12022).

    The shares are drawn again until every client has ``min_images``. Sizes differ too, and with a small ``alpha``
    clients lack classes.

    Args:
        alpha: the smaller, the more uneven: 0.1, 0.5 and 1 are usual; in [0.001, 1e6]. None: infinitely large, so
            that every client has each class as often as the others.
        min_images: what a client has at least; at least 2.
        max_tries: how often shares are drawn.

    Raises:
        ValueError: for an argument out of range; in ``split`` if no client's share is large enough in all tries.
    """

    alpha: Concentration | None = 0.5
    min_images: MinImages = 10
    max_tries: Count = 1000

    def split(self, images: ImageSet, num_clients: int, seed: int) -> list[Tensor]:
        """See ``Partition``."""
        check_enough("min_images", self.min_images, len(images), num_clients)
        members = shuffled_classes(images.labels, seed)
        counts = [len(own) for own in members]
        if self.alpha is None:
            return cut(members, stratified(counts, num_clients))
        draw = partial(class_sizes, counts, num_clients, self.alpha)
        limits = {"min_images": self.min_images, "max_tries": self.max_tries}
        return cut(members, drawn_until(draw, name="alpha", value=self.alpha, seed=seed, **limits))


def class_sizes(counts: list[int], num_clients: int, alpha: float, rng: np.random.Generator) -> Sizes:
    """How many images of each class each client gets: (classes, clients).

    Args:
        counts: of each class.
        num_clients: N.
        alpha: concentration.
        rng: draws one row of shares for each class.

    Example:
        >>> class_sizes([6, 4], 2, 0.5, np.random.default_rng(0)).sum(axis=1).tolist()
        [6, 4]
    """
    shares = rng.dirichlet([alpha] * num_clients, size=len(counts))
    return np.stack([largest_remainder(own, count) for own, count in zip(shares, counts, strict=True)])


def stratified(counts: list[int], num_clients: int) -> Sizes:
    """Every class in equal parts; what does not divide goes to the clients in turn: (classes, clients).

    Example:
        >>> stratified([5, 3], 4).tolist()
        [[2, 1, 1, 1], [0, 1, 1, 1]]
    """
    bounds = np.concatenate([[0], np.cumsum(counts)])
    dealt = np.array([[(end + num_clients - 1 - i) // num_clients for i in range(num_clients)] for end in bounds])
    return np.diff(dealt, axis=0).astype(np.int64)
