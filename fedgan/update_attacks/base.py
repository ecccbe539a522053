"""What an attack may do to malicious clients' updates. The base class does nothing: ``update_attack=none``."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch

from fedgan.core.added_loss import AddedLoss
from fedgan.core.arguments import component
from fedgan.core.round import Round
from fedgan.core.update import ClientUpdate
from fedgan.core.window import Windowed

Knowledge = Literal["own", "all"]


@dataclass(frozen=True)
class UpdateReport:
    """Proof that a malicious client's update was changed, and by how much; of the state, parameters alone.

    Attributes:
        client: the malicious client's id.
        relative_norm: |sent - trained| / |trained - reference|, at least 0; |factor - 1| for an update that is scaled.
        share_changed: share of the coordinates that differ, in [0, 1].
        cosine: of the update as sent and as trained, in [-1, 1]; 0 where one of them is zero.
        metrics_changed: how many of the scalars that it reports (its losses) differ from those that it had.
    """

    client: int
    relative_norm: float
    share_changed: float
    cosine: float
    metrics_changed: int

    @property
    def changed(self) -> bool:
        """Whether anything was."""
        return bool(self.share_changed or self.metrics_changed)


@component
class UpdateAttack(Windowed):
    """No attack on updates. Subclasses override ``alter``, or ``added_loss``, and what else they need.

    Attributes:
        knowledge: own: the malicious clients know each other's updates; all: they know everyone's. A subclass that
            can do with either has it as an argument: ``knowledge: Knowledge = "all"``.
    """

    knowledge = "own"

    def __str__(self) -> str:
        """The attack and its settings in a few words, for the screen and the records; the class's name by default."""
        return f"updates altered by {type(self).__name__}" if self.acts else "no attack on updates"

    def setup(self, *, num_clients: int, num_malicious: int, clients_per_round: int, rounds: int) -> None:
        """Prepare for a federation, once, before its first round; not called where nobody is malicious.

        Args:
            num_clients: N.
            num_malicious: f, at least 1.
            clients_per_round: how many of the N take part in a round.
            rounds: of the federation.

        Raises:
            ValueError: in one line, if this attack could not act in it.
        """

    def added_loss(self) -> AddedLoss | None:
        """What malicious clients' generators learn besides, in the rounds of the window; nothing by default."""
        return None

    def watch(self, round_: Round) -> None:
        """See a round before it is altered: each once, in order, whether or not the attack acts in it.

        ``round_.reference`` is changed in place when the server steps: what is kept of it is copied.
        """

    def rests(self, own: Sequence[ClientUpdate], known: Sequence[ClientUpdate], round_: Round) -> bool:
        """Whether there is nothing to alter in this round, for a reason that the attack states; see ``alter``.

        A round that is not rested in and changes nothing ends the run, and so does a run of which all is rested in.
        """
        return False

    def alter(
        self, own: Sequence[ClientUpdate], known: Sequence[ClientUpdate], round_: Round
    ) -> Sequence[ClientUpdate]:
        """The malicious clients' updates as they send them.

        Args:
            own: the malicious clients' updates as they were trained, in the order of their ids.
            known: the updates that they know, their own among them; all are as they were trained.
            round_: the round.

        Returns:
            One for each of ``own``, in the same order. Buffers stay as they are.
        """
        return own

    def state_dict(self) -> dict[str, Any]:
        """The memory that must survive an interruption: numbers, strings, lists, dicts and tensors."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the memory that ``state_dict`` returned."""

    @property
    def alters(self) -> bool:
        """Whether updates are changed once they are trained."""
        return type(self).alter is not UpdateAttack.alter

    @property
    def acts(self) -> bool:
        """Whether there is any attack."""
        return self.alters or type(self).added_loss is not UpdateAttack.added_loss


def report(trained: ClientUpdate, sent: ClientUpdate, round_: Round) -> UpdateReport:
    """What an attack did to one update.

    Example:
        >>> start, one = {"w": torch.zeros(2)}, torch.tensor([1.0, 0.0])
        >>> trained, sent = (ClientUpdate(3, 8, {"w": factor * one}, {}) for factor in (1.0, 4.0))
        >>> report(trained, sent, Round(0, start, frozenset({"w"}), num_clients=4))
        UpdateReport(client=3, relative_norm=3.0, share_changed=0.5, cosine=1.0, metrics_changed=0)
    """
    before, after = round_.delta(trained.state), round_.delta(sent.state)
    a, b = (torch.cat([d[name].flatten().double() for name in sorted(before)]) for d in (before, after))
    norms = float(a.norm() * b.norm())
    return UpdateReport(
        client=trained.client_id,
        relative_norm=float((b - a).norm() / a.norm().clamp_min(1e-30)),
        share_changed=float((a != b).double().mean()),
        cosine=float(a @ b) / norms if norms else 0.0,
        metrics_changed=sum(sent.metrics.get(name) != value for name, value in trained.metrics.items()),
    )
