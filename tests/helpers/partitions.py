"""What the partitions' tests share: labels without images to speak of, and what every partition promises."""

from collections.abc import Sequence

import torch
from torch import Tensor

from fedgan.core.images import ImageSet


def labeled(
    labels: Sequence[int], groups: Sequence[int] | None = None, hospitals: Sequence[int] | None = None
) -> ImageSet:
    """One pixel for each label."""
    names = tuple(f"class {label}" for label in range(max(labels) + 1))
    own = [None if numbers is None else torch.tensor(numbers) for numbers in (groups, hospitals)]
    return ImageSet(torch.zeros(len(labels), 1, 1, 1, dtype=torch.uint8), torch.tensor(labels), names, *own)


def assert_whole(parts: Sequence[Tensor], count: int) -> None:
    """Ascending, disjoint, covering."""
    assert all(part.dtype == torch.int64 for part in parts)
    assert all(bool((part.diff() > 0).all()) for part in parts)
    assert sorted(torch.cat(list(parts)).tolist()) == list(range(count))


def same(one: Sequence[Tensor], other: Sequence[Tensor]) -> bool:
    """Whether the clients have the same images."""
    return all(torch.equal(mine, theirs) for mine, theirs in zip(one, other, strict=True))


def contents(parts: Sequence[Tensor], labels: Sequence[int]) -> list[list[int]]:
    """By client the number of images of each class."""
    own = torch.tensor(labels)
    return [torch.bincount(own[part], minlength=int(own.max()) + 1).tolist() for part in parts]
