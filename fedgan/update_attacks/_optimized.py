"""What Min-Max and Min-Sum share: a step from the honest mean, as far as a bound allows (NDSS 2021, Section IV)."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from fedgan.core.arguments import component
from fedgan.core.round import Round
from fedgan.core.update import ClientUpdate
from fedgan.update_attacks._deltas import (
    Delta,
    WithinSpread,
    deviation,
    honest,
    length,
    mean,
    moved_along,
    scaled,
    sent,
)
from fedgan.update_attacks.base import Knowledge

Direction = Literal["std", "unit", "sign"]


def perturbation(deltas: Sequence[Delta], direction: Direction) -> dict[str, Tensor]:
    """p: std: -sigma (ddof 1); unit: -mu / |mu|; sign: -sign(mu); each coordinate's mean and deviation.

    Example:
        >>> perturbation([{"w": torch.tensor([2.0, -4.0])}, {"w": torch.tensor([4.0, -4.0])}], "unit")
        {'w': tensor([-0.6000,  0.8000])}
    """
    if direction == "std":
        return scaled(deviation(deltas), -1.0)
    center = mean(deltas)
    if direction == "unit":
        return scaled(center, -1.0 / (length(center) or 1.0))
    return {name: -tensor.sign() for name, tensor in center.items()}


def gram(deltas: Sequence[Delta]) -> Tensor:
    """K_ij = <delta_i, delta_j> in float64, (N, N), added up tensor by tensor.

    Example:
        >>> gram([{"w": torch.tensor([1.0, 0.0])}, {"w": torch.tensor([3.0, 4.0])}]).tolist()
        [[1.0, 3.0], [3.0, 25.0]]
    """
    total = torch.zeros(len(deltas), len(deltas), dtype=torch.float64)
    for name in deltas[0]:
        rows = torch.stack([delta[name].flatten().double() for delta in deltas])  # (N, coordinates)
        total += (rows @ rows.T).cpu()
    return total


def squared_distances(products: Tensor) -> Tensor:
    """|delta_i - delta_j|^2, (N, N), from their inner products."""
    squares = products.diagonal()
    return (squares[:, None] + squares[None, :] - 2 * products).clamp_min(0.0)


def root(a: Tensor, b: Tensor, c: float, bound: float) -> Tensor:
    """The largest g with a + 2 b g + c g^2 <= bound, for each pair of a and b; at least 0.

    A squared distance is a quadratic in g, so that nothing has to be searched for.

    Example:
        >>> root(torch.tensor([1.0]), torch.tensor([0.0]), 4.0, bound=37.0)
        tensor([3.])
    """
    room = (bound - a).clamp_min(0.0)
    reach = (b.square() + c * room).sqrt()
    return torch.where(b > 0, room / (b + reach).clamp_min(1e-300), (reach - b) / c)


@component
class Optimized(WithinSpread, ABC):
    """All malicious clients send G + mu + g p, g the largest that the bound of a subclass allows.

    In a round in which they know of fewer than two updates there is no bound: they send what they have trained.

    Args:
        direction: p, see ``perturbation``.
        knowledge: see ``UpdateAttack``; own: in place of the honest updates the malicious clients' own as they were
            trained, at least two, also in a round in which nobody else takes part.
    """

    direction: Direction = "std"
    knowledge: Knowledge = "all"

    @abstractmethod
    def largest(self, distances: Tensor, a: Tensor, b: Tensor, c: float) -> float:
        """The largest g for which the bound holds.

        Args:
            distances: |delta_i - delta_j|^2 of the honest updates, float64, (n, n).
            a: with b and c: |mu + g p - delta_i|^2 = a_i + 2 b_i g + c g^2; float64, (n,).
            b: see a.
            c: see a; above 0.
        """

    def alter(
        self, own: Sequence[ClientUpdate], known: Sequence[ClientUpdate], round_: Round
    ) -> Sequence[ClientUpdate]:
        """See ``UpdateAttack``."""
        deltas = [round_.delta(update.state) for update in honest(own, known)]
        return sent(own, [self.poisoned(deltas)] * len(own), round_)

    def poisoned(self, deltas: Sequence[Delta]) -> dict[str, Tensor]:
        """mu + g p; mu alone where p is zero, as for equal updates."""
        center, way = mean(deltas), perturbation(deltas, self.direction)
        products = gram([*deltas, center, way])
        squared, c = squared_distances(products), float(products[-1, -1])
        if not c:
            return center
        a, b = squared[-2, :-2], products[-1, -2] - products[-1, :-2]
        return moved_along(center, way, self.largest(squared[:-2, :-2], a, b, c))
