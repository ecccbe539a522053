"""Who gets which images: the training images are shared out among the clients."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from fedgan.core.images import ImageSet


class Partition(ABC):
    """Deals the training images out, each to one client at most."""

    @abstractmethod
    def split(self, images: ImageSet, num_clients: int, seed: int) -> list[Tensor]:
        """Each client's images.

        Args:
            images: the training images, N of them; most partitions look at their labels alone.
            num_clients: how many clients.
            seed: the run's.

        Returns:
            By client id, indices into ``images``: int64, ascending, disjoint.

        Raises:
            ValueError: in one line, if there are too few images.
        """

    def change(self, images: ImageSet, client_id: int, num_clients: int, rng: torch.Generator) -> ImageSet:
        """What a client's images look like, before anybody attacks: another scanner, say. As they are by default.

        Args:
            images: the client's, on the CPU; to be left as they are.
            client_id: from 0 to ``num_clients - 1``.
            num_clients: how many clients.
            rng: the client's own; not the one of the attack.

        Returns:
            As many images, with the same labels.
        """
        return images
