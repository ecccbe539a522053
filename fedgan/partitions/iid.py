"""Equal parts at random."""

from itertools import pairwise

import torch
from torch import Tensor

from fedgan.core.rng import keyed_generator


def partition_iid(num_images: int, num_clients: int, seed: int) -> list[Tensor]:
    """A random split into disjoint parts whose sizes differ by at most one (Section 4.1.3).

    As in the paper, the last clients take the remainder: 3,297 images over 4 clients give 824, 824, 824, 825.

    Args:
        num_images: how many images are shared out.
        num_clients: how many parts.
        seed: the run's seed.

    Returns:
        One int64 index tensor per client, ascending.

    Raises:
        ValueError: with fewer images than clients.

    Example:
        >>> [len(part) for part in partition_iid(3297, 4, seed=0)]
        [824, 824, 824, 825]
    """
    if num_images < num_clients:
        raise ValueError(
            f"fl.num_clients must be at most the number of training images, {num_images}; got {num_clients}"
        )
    order = torch.randperm(num_images, generator=keyed_generator(seed, "partition"))
    bounds = [num_images * i // num_clients for i in range(num_clients + 1)]
    return [order[start:stop].sort().values for start, stop in pairwise(bounds)]
