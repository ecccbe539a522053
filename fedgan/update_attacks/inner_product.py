"""Inner product manipulation: all send a little of the opposite of the honest mean (Xie, Koyejo & Gupta, UAI 2020)."""

from collections.abc import Sequence

from fedgan.core.arguments import Positive, component
from fedgan.core.round import Round
from fedgan.core.update import ClientUpdate
from fedgan.update_attacks._deltas import honest, mean, scaled, sent
from fedgan.update_attacks.base import Knowledge, UpdateAttack


@component
class InnerProduct(UpdateAttack):
    """All malicious clients send G - epsilon mean(X_i - G) over the honest clients i of the round.

    The mean of all changes its direction only if epsilon > (N - f) / f, 3 with one of four; a small epsilon slows
    learning down and gets past rules that choose by distance, such as Krum.

    Args:
        epsilon: above 0.
        knowledge: see ``UpdateAttack``; own: the mean of the malicious clients' own updates as they were trained, also
            in a round in which nobody else takes part.
    """

    epsilon: Positive = 0.5
    knowledge: Knowledge = "all"

    def __str__(self) -> str:
        """Such as ``inner product manipulation with epsilon 0.5``."""
        return f"inner product manipulation with epsilon {self.epsilon:g}"

    def alter(
        self, own: Sequence[ClientUpdate], known: Sequence[ClientUpdate], round_: Round
    ) -> Sequence[ClientUpdate]:
        """See ``UpdateAttack``."""
        center = mean([round_.delta(update.state) for update in honest(own, known)])
        return sent(own, [scaled(center, -self.epsilon)] * len(own), round_)
