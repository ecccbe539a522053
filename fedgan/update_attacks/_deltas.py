"""Arithmetic of deltas, state - reference of the parameters, and who knows whose: what several attacks share."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Literal

import torch
from torch import Tensor

from fedgan.core.arguments import Allowed, validated
from fedgan.core.round import Round, check_clients
from fedgan.core.update import ClientUpdate
from fedgan.update_attacks.base import UpdateAttack

Delta = Mapping[str, Tensor]
AllOfFew = Annotated[Literal["all"], Allowed("all with fewer than 2 malicious clients: the spread of one update is 0")]


def scaled(delta: Delta, factor: float) -> dict[str, Tensor]:
    """factor * delta.

    Example:
        >>> scaled({"w": torch.tensor([3.0, 4.0])}, -0.5)
        {'w': tensor([-1.5000, -2.0000])}
    """
    return {name: tensor * factor for name, tensor in delta.items()}


def moved_along(delta: Delta, direction: Delta, factor: float) -> dict[str, Tensor]:
    """delta + factor * direction."""
    return {name: tensor + factor * direction[name] for name, tensor in delta.items()}


def inner(one: Delta, other: Delta) -> float:
    """<one, other> over all tensors, in float64.

    Example:
        >>> inner({"a": torch.tensor([3.0]), "b": torch.tensor([4.0])}, {"a": torch.ones(1), "b": torch.ones(1)})
        7.0
    """
    return sum(float((tensor.double() * other[name].double()).sum()) for name, tensor in one.items())


def length(delta: Delta) -> float:
    """The Euclidean norm over all tensors, in float64.

    Example:
        >>> length({"a": torch.tensor([3.0]), "b": torch.tensor([4.0])})
        5.0
    """
    return float(inner(delta, delta) ** 0.5)


def mean(deltas: Sequence[Delta]) -> dict[str, Tensor]:
    """The mean of each coordinate, summed in float64."""
    return _each(deltas, lambda stacked: stacked.mean(dim=0))


def deviation(deltas: Sequence[Delta]) -> dict[str, Tensor]:
    """The standard deviation of each coordinate, of two deltas or more; unbiased variance (ddof 1).

    Example:
        >>> deviation([{"w": torch.tensor([1.0, 2.0])}, {"w": torch.tensor([3.0, 2.0])}])
        {'w': tensor([1.4142, 0.0000])}
    """
    return _each(deltas, lambda stacked: stacked.std(dim=0))


def _each(deltas: Sequence[Delta], rule: Callable[[Tensor], Tensor]) -> dict[str, Tensor]:
    return {
        name: rule(torch.stack([delta[name].double() for delta in deltas])).to(tensor.dtype)
        for name, tensor in deltas[0].items()
    }


def sent(own: Sequence[ClientUpdate], deltas: Sequence[Delta], round_: Round) -> list[ClientUpdate]:
    """The updates with other deltas; buffers and metrics stay as they were trained."""
    return [replace(u, state=round_.moved(delta, u.state)) for u, delta in zip(own, deltas, strict=True)]


def honest(own: Sequence[ClientUpdate], known: Sequence[ClientUpdate]) -> list[ClientUpdate]:
    """Those that are known and not malicious; the malicious clients' own, as they were trained, if they know no other.

    So it is with ``knowledge: own``, and in a round in which nobody else takes part.
    """
    ids = {update.client_id for update in own}
    return [update for update in known if update.client_id not in ids] or list(own)


class WithinSpread(UpdateAttack):
    """Refused in a federation in which no round has two updates to take a spread from; rests in a round without."""

    def setup(self, *, num_clients: int, num_malicious: int, clients_per_round: int, rounds: int) -> None:
        """Two updates must be known."""
        if num_malicious < 2:
            validated("knowledge", AllOfFew, self.knowledge)
        least = 3 if self.knowledge == "all" else 2
        why = ", so that the attack has two updates to take a spread from"
        check_clients(least, why, num_clients=num_clients, clients_per_round=clients_per_round)

    def rests(self, own: Sequence[ClientUpdate], known: Sequence[ClientUpdate], round_: Round) -> bool:
        """Without two updates to take a spread from."""
        return len(honest(own, known)) < 2
