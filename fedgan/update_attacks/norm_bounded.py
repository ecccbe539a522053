"""Updates no longer than honest ones: the projection of the PGD attack (Wang et al., NeurIPS 2020)."""

from collections.abc import Sequence
from statistics import median

from torch import Tensor

from fedgan.core.arguments import Positive, component
from fedgan.core.round import Round, check_clients
from fedgan.core.update import ClientUpdate
from fedgan.update_attacks._deltas import Delta, honest, length, scaled, sent
from fedgan.update_attacks._follower import Follower
from fedgan.update_attacks.base import Knowledge


def rescaling(norm: float, radius: float, factor: float) -> float:
    """What an update is multiplied by: ``factor``, or where that makes it too long, as much as ``radius`` allows.

    Args:
        norm: the update's length, at least 0; a zero update stays as it is, so that 1 always means no change.
        radius: the longest allowed, at least 0.
        factor: above 0.

    Example:
        >>> rescaling(5.0, radius=2.5, factor=4.0), rescaling(0.5, radius=2.5, factor=4.0)
        (0.5, 4.0)
    """
    return min(factor, radius / norm) if norm else 1.0


def projected(delta: Delta, radius: float, factor: float = 1.0) -> dict[str, Tensor]:
    """factor * delta, or where that is longer than ``radius``, as far as this in its direction.

    Example:
        >>> import torch
        >>> projected({"w": torch.tensor([3.0, 4.0])}, radius=1.0)
        {'w': tensor([0.6000, 0.8000])}
    """
    return scaled(delta, rescaling(length(delta), radius, factor))


@component
class NormBounded(Follower):
    """Each malicious client sends ``factor`` times its update, shortened to ``radius`` times an honest one's length.

    That length is the median over the round's honest clients; with ``knowledge: own`` it is the length of the server's
    last step, G_t - G_{t-1}, which under FedAvg is at most the mean length of its clients' updates. The paper projects
    during local training too, every few steps; here it is done once, after training, where the paper's method ends as
    well. A round in which no update would change is rested in: with factor 1 one without an update that is too long,
    with radius 1 one in which a malicious client answers alone and is its own measure, with ``knowledge: own`` round 0,
    which has no last step.

    Args:
        radius: q, above 0.
        factor: of the update before it is shortened, above 0; 1 for the projection alone, more for model replacement
            within the bound (the paper's PGD attack with replacement).
        knowledge: see ``UpdateAttack``. Where nobody else takes part, the median is of the malicious clients' own.
    """

    radius: Positive = 1.0
    factor: Positive = 4.0
    knowledge: Knowledge = "all"

    def __str__(self) -> str:
        """Such as ``updates scaled by 4 to at most 1 times the honest length``."""
        whose = "the honest length" if self.knowledge == "all" else "the server's last step"
        return f"updates scaled by {self.factor:g} to at most {self.radius:g} times {whose}"

    @property
    def follows(self) -> bool:
        """Only who knows nothing else looks at the server's steps."""
        return self.knowledge == "own"

    def setup(self, *, num_clients: int, num_malicious: int, clients_per_round: int, rounds: int) -> None:
        """Refuse rounds of one client where that client, its own measure, would always stay as it is."""
        super().setup(
            num_clients=num_clients, num_malicious=num_malicious, clients_per_round=clients_per_round, rounds=rounds
        )
        if self.knowledge == "all" and rescaling(1.0, self.radius, self.factor) == 1:
            why = ", so that a malicious client has another's length to go by"
            check_clients(2, why, num_clients=num_clients, clients_per_round=clients_per_round)

    def rests(self, own: Sequence[ClientUpdate], known: Sequence[ClientUpdate], round_: Round) -> bool:
        """Where no update would change, or it is not known what is too long."""
        bound = self._bound(own, known, round_)
        if bound is None:
            return True
        return all(rescaling(length(round_.delta(update.state)), bound, self.factor) == 1 for update in own)

    def alter(
        self, own: Sequence[ClientUpdate], known: Sequence[ClientUpdate], round_: Round
    ) -> Sequence[ClientUpdate]:
        """See ``UpdateAttack``."""
        bound = self._bound(own, known, round_)
        assert bound is not None, "it has rested in round 0"
        return sent(own, [projected(round_.delta(update.state), bound, self.factor) for update in own], round_)

    def _bound(self, own: Sequence[ClientUpdate], known: Sequence[ClientUpdate], round_: Round) -> float | None:
        if self.knowledge == "own":
            return None if self.step is None else self.radius * length(self.step)
        return self.radius * median(length(round_.delta(update.state)) for update in honest(own, known))
