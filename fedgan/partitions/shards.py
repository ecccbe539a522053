"""Clients with a few classes each: shards of the images sorted by class."""

import torch
from torch import Tensor

from fedgan.core.arguments import Count, component
from fedgan.core.images import ImageSet
from fedgan.core.rng import keyed_generator
from fedgan.partitions._rules import check_enough, shuffled_classes
from fedgan.partitions.base import Partition


@component
class Shards(Partition):
    """Sorted by class and cut into N x ``per_client`` shards, of which each client gets some at random.

    As in McMahan et al. 2017, Section 3. Shards differ by one image at most; within a class the order is random.

    Args:
        per_client: how many shards a client has, at least 1: about as many classes.

    Raises:
        ValueError: for an argument out of range; in ``split`` if there are fewer images than shards.
    """

    per_client: Count = 2

    def split(self, images: ImageSet, num_clients: int, seed: int) -> list[Tensor]:
        """See ``Partition``."""
        check_enough("per_client", self.per_client, len(images), num_clients)
        shards = torch.cat(shuffled_classes(images.labels, seed)).tensor_split(num_clients * self.per_client)
        order = torch.randperm(len(shards), generator=keyed_generator(seed, "partition", "shards"))
        return [torch.cat([shards[i] for i in own]).sort().values for own in order.view(num_clients, -1).tolist()]
