"""Norm clipping, with weak noise on the aggregate (Sun et al. 2019)."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Annotated

import torch
from annotated_types import Ge

from fedgan.core.arguments import Positive, component
from fedgan.core.round import Round, check_clients
from fedgan.core.update import ClientUpdate, State
from fedgan.defenses.base import Defense
from fedgan.defenses.robust.coordinates import middle
from fedgan.defenses.robust.gram import lengths

Noise = Annotated[float, Ge(0)]


@component
class NormClipping(Defense):
    """No update is longer than a bound: delta_i becomes delta_i min(1, bound / |delta_i|), |.| over all parameters.

    Published bounds belong to their tasks and mean nothing for a generator, so the default is the median of the
    round's lengths, which fewer than half malicious clients cannot push past the honest ones. It limits what a client
    can do and drops nobody.

    Args:
        bound: tau, above 0; None for the median of the round's lengths.
        noise: standard deviation of Gaussian noise on the aggregate's parameters, relative to the root mean square of
            those that were sent out; 0 for none. It comes with no guarantee of privacy.
    """

    bound: Positive | None = None
    noise: Noise = 0.0

    def __post_init__(self) -> None:
        self.clipped: dict[str, float] = {}

    def setup(self, *, num_clients: int, clients_per_round: int, rounds: int) -> None:
        """The median of one length clips nobody."""
        if self.bound is None:
            check_clients(2, ", or bound a number", num_clients=num_clients, clients_per_round=clients_per_round)

    def filter(self, updates: Sequence[ClientUpdate], round_: Round) -> Sequence[ClientUpdate]:
        """See ``Defense``."""
        shorter, self.clipped = clipped(updates, round_, self.bound)
        return shorter

    def finish(self, state: State, round_: Round) -> State:
        """The aggregate with noise."""
        return noisy(state, self.noise * root_mean_square(round_), round_, "norm_clipping") if self.noise else state

    def receipt(self) -> Mapping[str, float]:
        """``bound``: tau; ``clipped``: how many updates were longer."""
        return self.clipped


def clipped(
    updates: Sequence[ClientUpdate], round_: Round, bound: float | None = None
) -> tuple[list[ClientUpdate], dict[str, float]]:
    """The updates, none longer than a bound; the same objects where they are not longer.

    Args:
        updates: of the round.
        round_: the round.
        bound: tau; None for the median of their lengths.

    Returns:
        The updates, and the receipt: ``bound``, and ``clipped``, how many were longer.
    """
    found = lengths([update.state for update in updates], round_)
    tau = median_of(found) if bound is None else bound
    shorter = [
        update if length <= tau else replace(update, state=round_.scaled(update.state, tau / length))
        for update, length in zip(updates, found, strict=True)
    ]
    return shorter, {"bound": tau, "clipped": float(sum(length > tau for length in found))}


def median_of(numbers: Sequence[float]) -> float:
    """The median; of an even number of them the mean of the two in the middle.

    Example:
        >>> median_of([5.0, 1.0, 2.0, 4.0])
        3.0
    """
    return float(middle(torch.tensor(numbers, dtype=torch.float64)))


def root_mean_square(round_: Round) -> float:
    """Of the parameters that were sent out."""
    values = [round_.reference[name].double() for name in sorted(round_.parameters)]
    squares = sum(float(tensor.square().sum()) for tensor in values)
    return float((squares / sum(tensor.numel() for tensor in values)) ** 0.5)


def noisy(state: State, scale: float, round_: Round, purpose: str) -> dict[str, torch.Tensor]:
    """A state with Gaussian noise of this standard deviation on its parameters; buffers stay."""
    rng = round_.rng("defense", purpose, "noise")
    noise = {name: torch.randn(state[name].shape, generator=rng) for name in sorted(round_.parameters)}
    return {name: t + scale * noise[name].to(t) if name in noise else t for name, t in state.items()}
