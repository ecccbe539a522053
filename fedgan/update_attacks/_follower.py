"""An attack that remembers how the global generator has moved, as every client could."""

from typing import Any

from torch import Tensor

from fedgan.core.round import Round
from fedgan.update_attacks.base import UpdateAttack


class Follower(UpdateAttack):
    """Keeps the last state that was sent out: a copy of the generator's parameters, in each checkpoint too.

    Attributes:
        step: G_t - G_{t-1} of the parameters, in round t; None in round 0.
    """

    step: dict[str, Tensor] | None = None
    _sent_out: dict[str, Tensor] | None = None

    def watch(self, round_: Round) -> None:
        """See ``UpdateAttack``."""
        if not self.follows:
            return
        now = {name: round_.reference[name].clone() for name in round_.reference if name in round_.parameters}
        before = self._sent_out
        if before is not None:
            self.step = {name: tensor - before[name].to(tensor.device) for name, tensor in now.items()}
        self._sent_out = now

    @property
    def follows(self) -> bool:
        """Whether its settings make it look at the server's steps."""
        return True

    def setup(self, *, num_clients: int, num_malicious: int, clients_per_round: int, rounds: int) -> None:
        """Refuse a window with round 0 alone, in which there is no last step."""
        if self.follows:
            self.window.check_reached(rounds, first=1, why="after round 0, which has no last step of the server")

    def state_dict(self) -> dict[str, Any]:
        """The state that was sent out in the last round."""
        return {"sent_out": self._sent_out}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore it."""
        self._sent_out = state["sent_out"]
