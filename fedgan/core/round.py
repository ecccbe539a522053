"""What everything that acts on updates sees of a round."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from fedgan.core.checks import check_at_least
from fedgan.core.rng import keyed_generator
from fedgan.core.update import State


class Renderer(Protocol):
    """Draws images with a generator of any state, as it would be released: in evaluation mode, without gradients.

    Attributes:
        z_dim: dimension of the latents.
        num_classes: how many classes there are.
    """

    z_dim: int
    num_classes: int

    def __call__(self, state: State, z: Tensor, labels: Tensor) -> Tensor:
        """Images, (B, C, H, W), nominally in [-1, 1], from latents (B, z_dim) and labels, int64, (B,)."""


@dataclass(frozen=True)
class Round:
    """One round, handed to every defense and update attack.

    A state has trainable parameters and buffers (running statistics, counters). Rules act on parameters alone: buffers
    are never scaled, clipped or counted in a distance.

    Attributes:
        index: t, counted from 0 as in Algorithm 1.
        reference: the state that was sent out to the clients (G_server); not to be changed in place.
        parameters: names of the trainable tensors; the others of ``reference`` are buffers.
        num_clients: N, of the federation, whoever takes part.
        seed: the run's.
        root: what the server itself has trained in this round, from the same reference and on images of its own; None
            where no defense asks for it. Attackers never see it.
        renderer: draws images with the generators of this round; None where a rule is tried on states alone.
    """

    index: int
    reference: State
    parameters: frozenset[str]
    num_clients: int
    seed: int = 0
    root: State | None = None
    renderer: Renderer | None = None

    def rng(self, *purpose: int | str, device: torch.device | str = "cpu") -> torch.Generator:
        """The random stream of this purpose in this round: the same in any order of use, on one process or many."""
        return keyed_generator(self.seed, *purpose, "round", self.index, device=device)

    def delta(self, state: State) -> dict[str, Tensor]:
        """state - reference, for the parameters alone.

        Example:
            >>> start = {"weight": torch.tensor([1.0]), "running_mean": torch.tensor([5.0])}
            >>> now = {"weight": torch.tensor([3.0]), "running_mean": torch.tensor([6.0])}
            >>> Round(0, start, frozenset({"weight"}), num_clients=4).delta(now)
            {'weight': tensor([2.])}
        """
        return {name: state[name] - start for name, start in self.reference.items() if name in self.parameters}

    def scaled(self, state: State, factor: float) -> dict[str, Tensor]:
        """The state with reference + factor * delta for the parameters; its buffers stay.

        Example:
            >>> start = {"weight": torch.tensor([1.0]), "running_mean": torch.tensor([5.0])}
            >>> now = {"weight": torch.tensor([3.0]), "running_mean": torch.tensor([6.0])}
            >>> Round(0, start, frozenset({"weight"}), num_clients=4).scaled(now, 0.5)
            {'weight': tensor([2.]), 'running_mean': tensor([6.])}
        """
        return self.moved({name: delta * factor for name, delta in self.delta(state).items()}, state)

    def moved(self, delta: Mapping[str, Tensor], buffers: State) -> dict[str, Tensor]:
        """The state with reference + delta for the parameters, and the buffers of another state; ``delta``'s inverse.

        Example:
            >>> start = {"weight": torch.tensor([1.0]), "running_mean": torch.tensor([5.0])}
            >>> now = {"weight": torch.tensor([3.0]), "running_mean": torch.tensor([6.0])}
            >>> Round(0, start, frozenset({"weight"}), num_clients=4).moved({"weight": torch.tensor([-1.0])}, now)
            {'weight': tensor([0.]), 'running_mean': tensor([6.])}
        """
        return {name: start + delta[name] if name in delta else buffers[name] for name, start in self.reference.items()}


def check_clients(least: int, why: str, *, num_clients: int, clients_per_round: int, of_round: str = "") -> None:
    """Refuse a federation, or a round of it, with too few clients for what acts on their updates.

    Args:
        least: how many are needed.
        why: what the error says of that.
        num_clients: N.
        clients_per_round: how many of them take part in a round.
        of_round: what the error adds where only a round has too few.

    Raises:
        ValueError: in one line.

    Example:
        >>> check_clients(3, " for defense=feddetect", num_clients=4, clients_per_round=2)
        Traceback (most recent call last):
        ...
        ValueError: fl.clients_per_round must be at least 3 for defense=feddetect; got 2
    """
    counts = (("fl.num_clients", num_clients, why), ("fl.clients_per_round", clients_per_round, why + of_round))
    for setting, count, words in counts:
        check_at_least(setting, count, least, words)
