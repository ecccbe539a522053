"""The places where a defense may act. The base class acts in none of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from fedgan.core.update import ClientUpdate, State
from fedgan.gan.recipe import Recipe


@dataclass(frozen=True)
class Verdict:
    """What a defense made of one round's updates.

    Attributes:
        weights: aggregation weight by client id, for the clients that took part; they sum to 1.
        flagged: the clients that it holds to be malicious in this round and has acted against.
        flag_counts: how often each client has been flagged so far, this round included.
    """

    weights: Mapping[int, float]
    flagged: frozenset[int] = frozenset()
    flag_counts: Mapping[int, int] = field(default_factory=dict)


@dataclass(frozen=True)
class ServerFineTuning:
    """Rounds after the federation's, in which the server trains alone on real images of its own.

    Attributes:
        rounds: how many; one is one epoch. With 0 the images are held apart all the same: the control.
        images_per_class: how many real images of each class the server holds.
    """

    rounds: int
    images_per_class: int


class Defense:
    """No defense. Subclasses override the hooks they need; several defenses can be on at once."""

    def setup(self, *, num_clients: int, clients_per_round: int, rounds: int) -> None:
        """Prepare for a federation, once, before its first round.

        Args:
            num_clients: N.
            clients_per_round: how many of them take part in a round.
            rounds: of the federation.

        Raises:
            ValueError: in one line, if this defense could not act in it.
        """

    def adapt(self, recipe: Recipe) -> Recipe:
        """Every client's local objective and what belongs to it, before the first round."""
        return recipe

    def transform_batch(self, images: Tensor, rng: torch.Generator) -> Tensor:
        """Every client's batch of real images before its local step: float in [-1, 1], (B, C, H, W)."""
        return images

    def reweight(self, updates: Sequence[ClientUpdate], weights: Mapping[int, float], round_: int) -> Verdict:
        """New aggregation weights from this round's updates (in the order of their ids).

        Args:
            updates: one per client that took part.
            weights: what the defenses before this one made of 1/N.
            round_: t, counted from 0 as in Algorithm 1.
        """
        return Verdict(weights)

    def aggregate(self, updates: Sequence[ClientUpdate], weights: Mapping[int, float]) -> State | None:
        """The aggregate in place of the weighted mean (Eq. 3); None leaves it to the next."""
        return None

    def fine_tuning(self) -> ServerFineTuning | None:
        """What comes after training; None for nothing."""
        return None

    def state_dict(self) -> dict[str, Any]:
        """The memory that must survive an interruption: numbers, strings, lists, dicts and tensors."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up the memory that ``state_dict`` gave."""
