"""Equal parts at random, as in the paper (Section 4.1.3)."""

import torch
from torch import Tensor

from fedgan.core.checks import check_at_most
from fedgan.core.images import ImageSet
from fedgan.core.rng import keyed_generator
from fedgan.partitions._rules import even_sizes
from fedgan.partitions.base import Partition


class IID(Partition):
    """A random split into parts whose sizes differ by at most one.

    The last clients take the remainder: 3,297 images over 4 clients give 824, 824, 824, 825.
    """

    def split(self, images: ImageSet, num_clients: int, seed: int) -> list[Tensor]:
        """See ``Partition``."""
        return iid(len(images), num_clients, seed)


def iid(count: int, num_clients: int, seed: int) -> list[Tensor]:
    """Each client's share of ``count`` images: indices, int64, ascending.

    Example:
        >>> [len(part) for part in iid(3297, num_clients=4, seed=0)]
        [824, 824, 824, 825]
    """
    check_at_most("fl.num_clients", num_clients, count, ", the number of training images")
    order = torch.randperm(count, generator=keyed_generator(seed, "partition"))
    return [part.sort().values for part in torch.split(order, even_sizes(count, num_clients))]
