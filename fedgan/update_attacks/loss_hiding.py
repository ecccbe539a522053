"""Losses that look like an honest client's: an adaptive attack on detectors that read scalars (ours)."""

from collections.abc import Sequence
from typing import Annotated, Literal

from annotated_types import Interval

from fedgan.core.arguments import Allowed, component
from fedgan.core.round import Round, check_clients
from fedgan.core.update import ClientUpdate
from fedgan.update_attacks._hiding import hidden
from fedgan.update_attacks.base import UpdateAttack

Jitter = Annotated[float, Interval(ge=0, le=1)]
AllKnown = Annotated[Literal["all"], Allowed("all: no client sees what others report")]


@component
class LossHiding(UpdateAttack):
    """Each malicious client reports the median of what honest clients report in this round, with some jitter.

    Its state is sent as it was trained: next to an attack on images it hides from defenses that read scalars alone,
    such as FedDetect, and from no other. A round without an honest client has nothing to imitate and is rested in.

    Args:
        jitter: how far it moves from the median towards an honest client that is drawn for it in each round, as a
            share of the way, up to this; in [0, 1]. 0: always the median, a rank that betrays it over the rounds.
        knowledge: all; with ``own`` it is refused: the server sends out its generator alone, and no client ever sees a
            loss of another.
    """

    jitter: Jitter = 1.0
    knowledge: AllKnown = "all"

    def __str__(self) -> str:
        """Such as ``losses like honest ones``."""
        return "losses like honest ones"

    def setup(self, *, num_clients: int, num_malicious: int, clients_per_round: int, rounds: int) -> None:
        """Refuse rounds of one client: a malicious one would never meet an honest one."""
        why = ", so that the attack has an honest client to imitate"
        check_clients(2, why, num_clients=num_clients, clients_per_round=clients_per_round)

    def rests(self, own: Sequence[ClientUpdate], known: Sequence[ClientUpdate], round_: Round) -> bool:
        """Where nobody honest takes part."""
        return len(known) == len(own)

    def alter(
        self, own: Sequence[ClientUpdate], known: Sequence[ClientUpdate], round_: Round
    ) -> Sequence[ClientUpdate]:
        """See ``UpdateAttack``."""
        ids = frozenset(update.client_id for update in own)
        return [hidden(update, known, ids, self.jitter, round_) for update in own]
