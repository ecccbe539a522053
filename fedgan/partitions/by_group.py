"""Clients that are hospitals, or have whole patients: what belongs together stays together."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from fedgan.core.arguments import component
from fedgan.core.checks import check, check_at_most
from fedgan.core.images import ImageSet
from fedgan.core.rng import keyed_generator
from fedgan.partitions.base import Partition


@component
class ByGroup(Partition):
    """Whole groups to each client: patients (or lesions), or hospitals.

    Where there are as many groups as clients, client i has the i-th group in the order of their names: each hospital
    is a client. Of more, the clients get as equal numbers of images as whole groups allow (``dealt``).

    Args:
        by: which of the groups that the data set knows: ``group`` or ``hospital``.

    Raises:
        ValueError: for an argument out of range; in ``split`` if the data set knows no such groups, or if there are
            fewer than clients.
    """

    by: Literal["group", "hospital"] = "group"

    def split(self, images: ImageSet, num_clients: int, seed: int) -> list[Tensor]:
        """See ``Partition``."""
        groups = images.groups if self.by == "group" else images.hospitals
        ways = f"dataset.labels with dataset.columns.{self.by}, or dataset.{self.by}_pattern"
        known = f"what the data set knows of its images (by {ways})"
        check(groups is not None, "by", known, self.by)
        assert groups is not None
        _, group_of, sizes = groups.unique(return_inverse=True, return_counts=True)  # type: ignore[no-untyped-call]
        count = len(sizes)
        check_at_most("fl.num_clients", num_clients, count, f", the number of {self.by}s")
        order = torch.randperm(count, generator=keyed_generator(seed, "partition", "groups")).tolist()
        client_of = torch.tensor(dealt(sizes.tolist(), num_clients, order))[group_of]
        return [(client_of == client).nonzero().flatten() for client in range(num_clients)]


def dealt(sizes: Sequence[int], num_clients: int, order: Sequence[int]) -> list[int]:
    """The client of each group: one group each, or the largest groups first to whoever has the fewest images.

    Args:
        sizes: images of each group.
        num_clients: at most as many as groups.
        order: of the groups, which decides between those of equal size.

    Example:
        >>> dealt([5, 4, 3, 3], 2, order=[0, 1, 2, 3])  # 5 + 3 and 4 + 3
        [0, 1, 1, 0]
        >>> dealt([1, 9], 2, order=[1, 0])
        [0, 1]
    """
    if len(sizes) == num_clients:
        return list(range(num_clients))
    clients, totals = [0] * len(sizes), [0] * num_clients
    for group in sorted(order, key=lambda group: -sizes[group]):
        clients[group] = totals.index(min(totals))
        totals[clients[group]] += sizes[group]
    return clients
