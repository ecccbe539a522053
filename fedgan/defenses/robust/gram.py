"""Inner products of the clients' updates: all that most robust rules need, and of N x N numbers alone."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fedgan.core.round import Round
from fedgan.core.update import State

Matrix = NDArray[np.float64]
_ELEMENTS = 2**22  # of all clients' values that are in float64 at once: 32 MiB
_ALIKE = 1e-12  # of the squared length of an update: what rounding leaves of the distance of equal ones


def gram_matrix(states: Sequence[State], round_: Round) -> Matrix:
    """K_ij = <delta_i, delta_j>, delta = state - reference on the parameters: float64, (N, N).

    Summed piece by piece in float64, so the memory it takes does not grow with the model.

    Example:
        >>> round_ = Round(0, {"w": torch.ones(2)}, frozenset({"w"}), num_clients=2)
        >>> gram_matrix([{"w": torch.tensor([4.0, 5.0])}, {"w": torch.tensor([2.0, 1.0])}], round_)
        array([[25.,  3.],
               [ 3.,  1.]])
    """
    return gram_of(deltas_in_pieces(states, round_))


def gram_of(pieces: Iterable[Tensor]) -> Matrix:
    """The inner products of vectors that come in pieces of the same coordinates, each (N, C)."""
    total = sum(piece @ piece.T for piece in pieces)
    assert isinstance(total, Tensor)
    gram: Matrix = total.cpu().numpy()
    return (gram + gram.T) / 2.0  # a product by blocks need not be symmetric to the bit


def deltas_in_pieces(states: Sequence[State], round_: Round) -> Iterator[Tensor]:
    """The updates' deltas in float64, some coordinates of a parameter at a time: (N, C)."""
    for (_, start), (_, piece) in zip(
        in_pieces([round_.reference], round_.parameters, len(states)),
        in_pieces(states, round_.parameters, len(states)),
        strict=True,
    ):
        yield piece - start.to(piece.device)


def in_pieces(
    vectors: Sequence[Mapping[str, Tensor]], names: Iterable[str], rows: int | None = None
) -> Iterator[tuple[str, Tensor]]:
    """Named tensors of all vectors in float64, cut into pieces of (N, C), with their names.

    Args:
        vectors: N of them, with the same names and shapes.
        names: of the tensors.
        rows: a number of vectors that the pieces are cut for; None for N.
    """
    width = max(1, _ELEMENTS // (rows or len(vectors)))
    for name in sorted(names):
        flat = [vector[name].reshape(-1) for vector in vectors]
        for begin in range(0, flat[0].numel(), width):
            yield name, torch.stack([values[begin : begin + width].double() for values in flat])


def lengths(states: Sequence[State], round_: Round) -> list[float]:
    """|delta_i| over all parameters, in float64."""
    squares = sum(piece.square().sum(dim=1) for piece in deltas_in_pieces(states, round_))
    assert isinstance(squares, Tensor)
    return [float(length) for length in squares.sqrt()]


def squared_distances(gram: Matrix) -> Matrix:
    """|delta_i - delta_j|^2, (N, N), exactly 0 on the diagonal.

    Example:
        >>> squared_distances(np.array([[25.0, 3.0], [3.0, 1.0]]))
        array([[ 0., 20.],
               [20.,  0.]])
    """
    squares = np.diag(gram)
    return np.maximum(squares[:, None] + squares - 2.0 * gram, 0.0)


def cosines(gram: Matrix) -> Matrix:
    """The cosines between updates, (N, N), exactly 1 on the diagonal; 0 with an update of length 0.

    Example:
        >>> cosines(np.array([[4.0, 3.0, 0.0], [3.0, 9.0, 0.0], [0.0, 0.0, 0.0]]))
        array([[1. , 0.5, 0. ],
               [0.5, 1. , 0. ],
               [0. , 0. , 1. ]])
    """
    length = np.sqrt(np.diag(gram))
    scale = np.divide(1.0, length, out=np.zeros_like(length), where=length > 0)
    found: Matrix = np.clip(gram * scale[:, None] * scale, -1.0, 1.0)
    np.fill_diagonal(found, 1.0)
    return found


def alike(gram: Matrix) -> bool:
    """Whether all updates are one up to rounding: then no rule has a reason to drop anybody.

    Example:
        >>> alike(np.full((3, 3), 7.0)), alike(np.eye(3))
        (True, False)
    """
    return bool(squared_distances(gram).max() <= _ALIKE * np.diag(gram).max())


def lowest(scores: NDArray[np.float64], count: int) -> list[int]:
    """The positions of the ``count`` lowest scores, from the lowest on; of equal ones the first.

    Example:
        >>> lowest(np.array([3.0, 2.0, 6.0, 3.0]), 3)
        [1, 0, 3]
    """
    return [int(i) for i in np.argsort(scores, kind="stable")[:count]]
