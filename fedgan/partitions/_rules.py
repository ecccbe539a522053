"""What several partitions share: sizes that add up, classes in random order, and trying again."""

from collections.abc import Callable, Sequence
from typing import Annotated

import numpy as np
import numpy.typing as npt
import torch
from annotated_types import Ge, Interval
from torch import Tensor

from fedgan.core.checks import check_at_most
from fedgan.core.rng import derive_seed, keyed_generator

# numpy's gamma variates leave their range beyond; so large, all clients' shares are equal to four digits.
Concentration = Annotated[float, Interval(ge=1e-3, le=1e6)]
MinImages = Annotated[int, Ge(2)]  # batch statistics of a single image say nothing

Sizes = npt.NDArray[np.int64]


def largest_remainder(shares: npt.ArrayLike, total: int) -> Sizes:
    """Whole numbers in proportion to ``shares`` that sum to ``total`` (Hamilton's method).

    Each share is rounded down, and what is left goes, one each, to the largest fractions; equal ones by place.

    Args:
        shares: not negative, (n,); they need not sum to 1.
        total: at least 0.

    Returns:
        int64, (n,), each less than 1 away from its exact share.

    Example:
        >>> largest_remainder([0.46, 0.29, 0.25], 10).tolist()  # floors of the cumulated sums would give 4, 3, 3
        [5, 3, 2]
    """
    parts = np.asarray(shares, np.float64)
    exact = parts / parts.sum() * total
    sizes: Sizes = np.floor(exact).astype(np.int64)
    fractions = exact - sizes
    sizes[np.argsort(-fractions, kind="stable")[: total - int(sizes.sum())]] += 1
    return sizes


def shuffled_classes(labels: Tensor, seed: int) -> list[Tensor]:
    """The indices of each class that has images, by ascending label, each class in a random order of its own."""
    members = []
    for label in sorted(set(labels.tolist())):
        own = (labels == label).nonzero().flatten()
        members.append(own[torch.randperm(len(own), generator=keyed_generator(seed, "partition", "class", label))])
    return members


def cut(members: Sequence[Tensor], sizes: Sizes) -> list[Tensor]:
    """Each client's indices, ascending.

    Args:
        members: the indices of each class, in the order in which they are dealt.
        sizes: how many of each class each client gets: (classes, clients).

    Example:
        >>> [part.tolist() for part in cut([torch.tensor([4, 0, 2]), torch.tensor([1])], np.array([[2, 1], [0, 1]]))]
        [[0, 4], [1, 2]]
    """
    pieces = [torch.split(own, row.tolist()) for own, row in zip(members, sizes, strict=True)]
    return [torch.cat(own).sort().values for own in zip(*pieces, strict=True)]


def drawn_until(
    draw: Callable[[np.random.Generator], Sizes], *, name: str, value: float, min_images: int, max_tries: int, seed: int
) -> Sizes:
    """The first of ``max_tries`` random tables of sizes in which every client has ``min_images``.

    Args:
        draw: a table from a random stream; its last dimension is the clients'.
        name: of the argument that decides how uneven the tables are,
        value: and what it is.
        min_images: how many images a client needs.
        max_tries: how many tables are drawn.
        seed: of the streams, one for each try.

    Raises:
        ValueError: in one line, if no table is such.
    """
    most = 0
    for attempt in range(max_tries):
        sizes = draw(np.random.default_rng(derive_seed(seed, "partition", "shares", attempt)))
        fewest = int(sizes.reshape(-1, sizes.shape[-1]).sum(axis=0).min())
        if fewest >= min_images:
            return sizes
        most = max(most, fewest)
    needed = (
        f"larger: in {max_tries} tries (max_tries) some client always had fewer than min_images={min_images} images"
    )
    raise ValueError(f"{name} must be {needed}, at best {most}; got {value:g}")


def check_enough(setting: str, each: int, count: int, num_clients: int) -> None:
    """Refuse more for each client than ``count`` images over ``num_clients`` clients give.

    Args:
        setting: what the error calls ``each``,
        each: which is how many of them a client shall have.
        count: of the training images.
        num_clients: how many clients.

    Raises:
        ValueError: in one line.
    """
    most = count // num_clients
    check_at_most(setting, each, most, f", the {count} training images over {num_clients} clients")


def even_sizes(count: int, num_clients: int) -> list[int]:
    """Sizes that differ by at most one; the last clients take the remainder.

    Example:
        >>> even_sizes(3297, 4)
        [824, 824, 824, 825]
    """
    bounds = [count * i // num_clients for i in range(num_clients + 1)]
    return np.diff(bounds).tolist()
