"""Equal parts at random, as in the paper (Section 4.1.3)."""

from itertools import pairwise

import torch
from torch import Tensor

from fedgan.core.checks import check
from fedgan.core.rng import keyed_generator
from fedgan.partitions.base import Partition


class IID(Partition):
    """A random split into parts whose sizes differ by at most one.

    The last clients take the remainder: 3,297 images over 4 clients give 824, 824, 824, 825.

    Example:
        >>> [len(part) for part in IID().split(torch.zeros(3297), num_clients=4, seed=0)]
        [824, 824, 824, 825]
    """

    def split(self, labels: Tensor, num_clients: int, seed: int) -> list[Tensor]:
        """See ``Partition``."""
        count = len(labels)
        check(count >= num_clients, "fl.num_clients", f"at most the number of training images, {count}", num_clients)
        order = torch.randperm(count, generator=keyed_generator(seed, "partition"))
        bounds = [count * i // num_clients for i in range(num_clients + 1)]
        return [order[start:stop].sort().values for start, stop in pairwise(bounds)]
