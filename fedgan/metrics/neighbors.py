"""Distances to nearest neighbors among features, in blocks that fit into memory."""

from collections.abc import Iterator

import torch
from torch import Tensor

_BLOCK = 512  # rows of the distance matrix in memory at once


def distance_blocks(x: Tensor, y: Tensor) -> Iterator[Tensor]:
    """The Euclidean distances of all pairs: (M, D) and (N, D) to (M, N), some rows at a time."""
    for block in torch.split(x, _BLOCK):
        # The usual way, over matrix products, leaves equal rows a small distance apart.
        yield torch.cdist(block, y, compute_mode="donot_use_mm_for_euclid_dist")


def nearest(x: Tensor, y: Tensor) -> Tensor:
    """The distance from each row of ``x`` to the nearest row of ``y``: (M, D) and (N, D) to (M,).

    Example:
        >>> nearest(torch.tensor([[0.0], [5.0]]), torch.tensor([[1.0], [5.0]])).tolist()
        [1.0, 0.0]
    """
    return torch.cat([block.min(dim=1).values for block in distance_blocks(x, y)])


def nearest_other(x: Tensor, y: Tensor, x_marks: Tensor, y_marks: Tensor) -> Tensor:
    """The same, but rows with the same mark, (M,) and (N,), are no neighbors; infinity for a row without any.

    Example:
        >>> x, y = torch.tensor([[0.0], [5.0]]), torch.tensor([[1.0], [5.0]])
        >>> nearest_other(x, y, torch.tensor([7, 8]), torch.tensor([9, 8])).tolist()
        [1.0, 4.0]
    """
    same = x_marks[:, None] == y_marks  # (M, N)
    masks = torch.split(same, _BLOCK)
    blocks = zip(distance_blocks(x, y), masks, strict=True)
    return torch.cat([block.masked_fill(mask, torch.inf).min(dim=1).values for block, mask in blocks])
