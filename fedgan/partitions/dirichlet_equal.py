"""Clients of equal size that differ in their mix of classes: mixes drawn from a Dirichlet distribution."""

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from fedgan.core.arguments import component
from fedgan.core.checks import check_at_most
from fedgan.core.images import ImageSet
from fedgan.core.rng import derive_seed, keyed_generator
from fedgan.partitions._rules import (
    Concentration,
    Sizes,
    cut,
    even_sizes,
    largest_remainder,
    shuffled_classes,
)
from fedgan.partitions.base import Partition

Mixes = npt.NDArray[np.float64]


@component
class DirichletEqual(Partition):
    """Each client has n/N images in a mix q ~ Dir(alpha p), p being the classes' shares (Hsu et al. 2019, Section 3).

    All clients take as many local steps, so that the scales of their losses compare. In a random order the clients
    take what their mix asks for; where a class has run out, they take of the others in the mix's proportions.

    Args:
        alpha: the smaller, the more uneven: toward 0 a client has one class, as far as there are images of it;
            in [0.001, 1e6].

    Raises:
        ValueError: for an argument out of range.
    """

    alpha: Concentration = 0.5

    def split(self, images: ImageSet, num_clients: int, seed: int) -> list[Tensor]:
        """See ``Partition``."""
        count = len(images)
        check_at_most("fl.num_clients", num_clients, count, ", the number of training images")
        members = shuffled_classes(images.labels, seed)
        counts = np.array([len(own) for own in members])
        rng = np.random.default_rng(derive_seed(seed, "partition", "mixes"))
        mixes = wishes(counts, num_clients, self.alpha, rng)
        order = torch.randperm(num_clients, generator=keyed_generator(seed, "partition", "clients")).tolist()
        return cut(members, filled(counts, mixes, even_sizes(count, num_clients), order))


def wishes(counts: Sizes, num_clients: int, alpha: float, rng: np.random.Generator) -> Mixes:
    """What share of its images each client wants of each class: (clients, classes), rows sum to 1.

    Example:
        >>> wishes(np.array([30, 10]), 2, 1e6, np.random.default_rng(0)).round(2).tolist()
        [[0.75, 0.25], [0.75, 0.25]]
    """
    return rng.dirichlet(alpha * counts / counts.sum(), size=num_clients)


def filled(counts: Sizes, mixes: Mixes, sizes: list[int], order: list[int]) -> Sizes:
    """How many images of each class each client gets: (classes, clients).

    Args:
        counts: of each class.
        mixes: as ``wishes`` returns them.
        sizes: of each client; together all images.
        order: in which the clients choose.

    Example:
        >>> filled(np.array([3, 3]), np.array([[1.0, 0.0], [0.75, 0.25]]), [2, 4], [0, 1]).tolist()
        [[2, 1], [0, 3]]
    """
    left, table = counts.copy(), np.zeros((len(counts), len(sizes)), np.int64)
    for client in order:
        table[:, client] = taken(left, mixes[client], sizes[client])
        left -= table[:, client]
    return table


def taken(left: Sizes, mix: Mixes, size: int) -> Sizes:
    """``size`` images in the proportions of ``mix``, as far as each class lasts: (classes,).

    Example:
        >>> taken(np.array([3, 1, 9]), np.array([0.5, 0.5, 0.0]), 6).tolist()
        [3, 1, 2]
    """
    took = np.zeros_like(left)
    while (need := size - int(took.sum())) > 0:
        room = left - took
        wanted = np.where(room > 0, mix, 0.0)
        # Nothing that the mix asks for is left: the rest is taken as it is there.
        asked = largest_remainder(wanted if wanted.sum() > 0 else room, need)
        took += np.minimum(asked, room)
    return took
