"""A little is enough: the honest mean, moved by a few standard deviations (Baruch, Baruch & Goldberg, NeurIPS 2019)."""

from collections.abc import Sequence
from statistics import NormalDist

from fedgan.core.arguments import Positive, component
from fedgan.core.checks import check
from fedgan.core.round import Round
from fedgan.core.update import ClientUpdate
from fedgan.update_attacks._deltas import WithinSpread, deviation, honest, mean, moved_along, sent
from fedgan.update_attacks.base import Knowledge


def critical_z(num_clients: int, num_malicious: int) -> float:
    """The paper's z_max (Algorithm 3): Phi^-1((N - f - s) / (N - f)), s = floor(N / 2 + 1) - f.

    Not above 0 for few clients, which is no attack.

    Example:
        >>> [round(critical_z(n, f), 3) for n, f in ((4, 1), (10, 2), (20, 4), (50, 24))]
        [-0.431, 0.0, 0.157, 1.426]
    """
    supporters = num_clients // 2 + 1 - num_malicious
    others = num_clients - num_malicious
    return NormalDist().inv_cdf((others - supporters) / others)


@component
class LittleIsEnough(WithinSpread):
    """All malicious clients send G + mu - z sigma: mean and standard deviation (ddof 1) of each honest coordinate.

    In a round in which they know of fewer than two updates there is no sigma: they send what they have trained.

    Args:
        z: how many standard deviations, above 0; the authors' code has 1.5. None for the paper's formula, which is for
            many clients, all in each round: it is refused where it gives no more than 0, and with fewer clients per
            round. It counts the federation's clients, also in a round in which some drop out.
        knowledge: see ``UpdateAttack``; own: mean and deviation of the malicious clients' own updates as they were
            trained, at least two, also in a round in which nobody else takes part.
    """

    z: Positive | None = 1.5
    knowledge: Knowledge = "all"

    def __str__(self) -> str:
        """Such as ``a little is enough with z 1.5``."""
        return f"a little is enough with z {'by formula' if self.z is None else format(self.z, 'g')}"

    def setup(self, *, num_clients: int, num_malicious: int, clients_per_round: int, rounds: int) -> None:
        """A deviation needs two updates, and the formula many clients, all in each round."""
        super().setup(
            num_clients=num_clients, num_malicious=num_malicious, clients_per_round=clients_per_round, rounds=rounds
        )
        if self.z is None:
            some = f"fl.clients_per_round={clients_per_round} of fl.num_clients={num_clients}"
            whole = f"a number above 0 with {some}: the formula of null is for rounds of all clients"
            check(clients_per_round == num_clients, "z", whole, None)
            z = critical_z(num_clients, num_malicious)
            few = f"{num_malicious} malicious of {num_clients} clients"
            check(z > 0, "z", f"a number above 0: with {few} the formula of null gives {z:.3g}, no attack", None)
            self.z = z

    def alter(
        self, own: Sequence[ClientUpdate], known: Sequence[ClientUpdate], round_: Round
    ) -> Sequence[ClientUpdate]:
        """See ``UpdateAttack``."""
        assert self.z is not None, "setup has computed it"
        deltas = [round_.delta(update.state) for update in honest(own, known)]
        return sent(own, [moved_along(mean(deltas), deviation(deltas), -self.z)] * len(own), round_)
