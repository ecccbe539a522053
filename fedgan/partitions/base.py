"""Who gets which images: the training images are shared out among the clients."""

from abc import ABC, abstractmethod

from torch import Tensor


class Partition(ABC):
    """Deals the training images out, each to one client at most."""

    @abstractmethod
    def split(self, labels: Tensor, num_clients: int, seed: int) -> list[Tensor]:
        """Each client's images.

        Args:
            labels: of the training images, int64, (N,).
            num_clients: how many clients.
            seed: the run's.

        Returns:
            By client id, indices into ``labels``: int64, ascending, disjoint.

        Raises:
            ValueError: in one line, if there are too few images.
        """
