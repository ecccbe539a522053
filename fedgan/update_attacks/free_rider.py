"""Free riders: they send what looks like an update and have learned nothing (Lin et al. 2019; Fraboni et al. 2021)."""

from collections.abc import Sequence
from typing import Annotated, Literal

from annotated_types import Interval
from torch import Tensor

from fedgan.core.arguments import Positive, component
from fedgan.core.round import Round
from fedgan.core.update import ClientUpdate
from fedgan.update_attacks._deltas import sent
from fedgan.update_attacks._follower import Follower
from fedgan.update_attacks._hiding import hidden
from fedgan.update_attacks.base import Knowledge
from fedgan.update_attacks.gaussian import gaussian

Form = Literal["unchanged", "previous_step", "noise"]


@component
class FreeRider(Follower):
    """Each malicious client sends the state that it was sent, G_t, disguised or not; it takes part without data.

    Its losses are like honest ones, as ``LossHiding`` makes them up. The simulation trains it all the same: buffers
    are those that it has trained, and with ``knowledge: own`` its losses too, as it cannot know those of others.

    Args:
        form: unchanged: G_t; previous_step: G_t + (G_t - G_{t-1}), in round 0, which has no last step, G_t; noise:
            G_t + N(0, s^2) in each coordinate with s = noise / t^decay, t counted from 1.
        noise: s in the first round, above 0; with another form it has no effect, and the next neither.
        decay: in [0, 10]; 0 for the same noise in all rounds.
        knowledge: see ``UpdateAttack``; own: it reports the losses of the training that it pretends to have done.
    """

    form: Form = "previous_step"
    noise: Positive = 1e-3
    decay: Annotated[float, Interval(ge=0, le=10)] = 1.0
    knowledge: Knowledge = "all"

    def __str__(self) -> str:
        """Such as ``free riding (previous_step)``."""
        return f"free riding ({self.form})"

    def setup(self, *, num_clients: int, num_malicious: int, clients_per_round: int, rounds: int) -> None:
        """Nothing to refuse: round 0, which has no last step, has a G_t to send."""

    def watch(self, round_: Round) -> None:
        """Only who repeats the server's steps looks at them."""
        if self.form == "previous_step":
            super().watch(round_)

    def alter(
        self, own: Sequence[ClientUpdate], known: Sequence[ClientUpdate], round_: Round
    ) -> Sequence[ClientUpdate]:
        """See ``UpdateAttack``."""
        ids = frozenset(update.client_id for update in own)
        idle = sent(own, [self._pretended(update, round_) for update in own], round_)
        return [hidden(update, known, ids, 1.0, round_) for update in idle]

    def _pretended(self, update: ClientUpdate, round_: Round) -> dict[str, Tensor]:
        nothing = round_.delta(round_.reference)  # zeros
        if self.form == "previous_step":
            return nothing if self.step is None else self.step
        if self.form == "noise":
            sd = self.noise / (round_.index + 1) ** self.decay
            return gaussian(nothing, sd, round_.rng("update_attack", "free_rider", update.client_id))
        return nothing
