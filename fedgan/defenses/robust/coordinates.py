"""Rules that act on each coordinate by itself."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from fedgan.core.update import State, weighted_mean
from fedgan.defenses.robust.gram import in_pieces


def by_coordinate(states: Sequence[State], rule: Callable[[Tensor], Tensor]) -> dict[str, Tensor]:
    """A rule on each element of the floating-point tensors, buffers too; whole-number ones take the mean, rounded.

    Args:
        states: one per client.
        rule: from some coordinates of all clients in float64, (N, C), to one client's, (C,).

    Example:
        >>> by_coordinate([{"w": torch.tensor([1.0])}, {"w": torch.tensor([4.0])}], lambda values: values.amax(dim=0))
        {'w': tensor([4.])}
    """
    state = plain_mean(states)
    names = [name for name, tensor in state.items() if tensor.is_floating_point() and tensor.numel()]
    found: dict[str, list[Tensor]] = {name: [] for name in names}
    for name, piece in in_pieces(states, names):
        found[name].append(rule(piece))
    return state | {name: torch.cat(pieces).view_as(state[name]).to(state[name]) for name, pieces in found.items()}


def plain_mean(states: Sequence[State]) -> dict[str, Tensor]:
    """The mean in which each state has the same weight."""
    return weighted_mean(states, [1.0] * len(states))


def middle(values: Tensor) -> Tensor:
    """The median of each column, (N, C) to (C,): for even N the mean of the two middle values.

    ``torch.median`` takes the lower of them.

    Example:
        >>> middle(torch.tensor([[0.0], [1.0], [2.0], [9.0]]))
        tensor([1.5000])
    """
    rows, count = ordered(values), len(values)
    return (rows[(count - 1) // 2] + rows[count // 2]) / 2.0


def ordered(values: Tensor) -> Tensor:
    """Each column's values from the lowest to the highest, (N, C).

    On a CPU by NumPy, which sorts short columns many times as fast as torch and to the same values.

    Example:
        >>> ordered(torch.tensor([[9.0, 1.0], [2.0, 3.0]])).tolist()
        [[2.0, 1.0], [9.0, 3.0]]
    """
    if values.device.type == "cpu":
        return torch.from_numpy(np.sort(values.detach().numpy(), axis=0))
    return values.sort(dim=0).values
