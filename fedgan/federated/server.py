"""The server: updates -> weights -> aggregate -> new global generator; it keeps the defenses' memory."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer

from fedgan.core.update import ClientUpdate, State, effective_clients, weighted_mean
from fedgan.defenses.base import Defense
from fedgan.federated.federation import Federation


@dataclass(frozen=True)
class Decision:
    """What the server made of one round.

    Attributes:
        weights: aggregation weight by client id, for those that took part; their sum is 1.
        flagged: the clients flagged in this round, by whichever defense.
        flag_counts: flags so far by client id, summed over the defenses.
    """

    weights: Mapping[int, float]
    flagged: frozenset[int]
    flag_counts: Mapping[int, int]

    @property
    def effective_clients(self) -> float:
        """1 / sum_i w_i^2."""
        return effective_clients(list(self.weights.values()))

    def to_plain(self) -> dict[str, Any]:
        """As plain values, for a checkpoint."""
        return {"weights": dict(self.weights), "flagged": sorted(self.flagged), "flag_counts": dict(self.flag_counts)}

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> "Decision":
        """The inverse of ``to_plain``."""
        return cls(plain["weights"], frozenset(plain["flagged"]), plain["flag_counts"])

    def detection_rates(self, malicious: frozenset[int]) -> tuple[float | None, float | None]:
        """True and false positive rate of this round's flags; None where there was nobody to find or to spare."""
        present = frozenset(self.weights)
        guilty, innocent = present & malicious, present - malicious
        return _share(self.flagged & guilty, guilty), _share(self.flagged & innocent, innocent)


class Server(Callback):
    """Aggregates with weights 1/N, as the defenses change them, one after the other.

    Args:
        defenses: by name; the order is that of the configuration.

    Attributes:
        decision: of the last round.
        last_of_clients: of the last round in which clients took part.
    """

    def __init__(self, defenses: Mapping[str, Defense]) -> None:
        self.defenses = dict(defenses)
        self.decision: Decision | None = None
        self.last_of_clients: Decision | None = None

    def on_before_optimizer_step(
        self, trainer: Trainer, pl_module: LightningModule, optimizer: torch.optim.Optimizer
    ) -> None:
        """The server's part of a round, just before its optimizer steps (Procedure B of Algorithm 1)."""
        assert isinstance(pl_module, Federation)
        if not trainer.is_global_zero:  # there are no updates here; the new generator comes from where they are
            return
        # In the order of ids, so that the result does not depend on who came first.
        updates = sorted(pl_module.updates, key=lambda update: update.client_id)
        if pl_module.fine_tunes:  # alone: nobody to weigh
            self.decision = Decision({update.client_id: 1.0 for update in updates}, frozenset(), {})
            pl_module.replace(updates[0].state)
            return
        self.decision = self.decide(updates, pl_module.round)
        with torch.no_grad():
            pl_module.propose(self.aggregate(updates, self.decision.weights))
        self.last_of_clients = self.decision

    def decide(self, updates: Sequence[ClientUpdate], round_: int) -> Decision:
        """The round's weights and flags."""
        weights: Mapping[int, float] = {update.client_id: 1.0 / len(updates) for update in updates}
        flagged: frozenset[int] = frozenset()
        counts = {update.client_id: 0 for update in updates}
        for defense in self.defenses.values():
            verdict = defense.reweight(updates, weights, round_)
            weights, flagged = verdict.weights, flagged | verdict.flagged
            counts = {i: count + verdict.flag_counts.get(i, 0) for i, count in counts.items()}
        return Decision(weights, flagged, counts)

    def aggregate(self, updates: Sequence[ClientUpdate], weights: Mapping[int, float]) -> State:
        """A defense's aggregate, or the weighted mean (Eq. 3)."""
        for defense in self.defenses.values():
            state = defense.aggregate(updates, weights)
            if state is not None:
                return state
        return weighted_mean([update.state for update in updates], [weights[update.client_id] for update in updates])

    def state_dict(self) -> dict[str, Any]:
        """The memory of every defense, and the last decision about clients."""
        last = None if self.last_of_clients is None else self.last_of_clients.to_plain()
        return {"defenses": {name: defense.state_dict() for name, defense in self.defenses.items()}, "last": last}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Give every defense its memory back."""
        for name, defense in self.defenses.items():
            defense.load_state_dict(state_dict["defenses"][name])
        last = state_dict["last"]
        self.last_of_clients = None if last is None else Decision.from_plain(last)


def _share(part: frozenset[int], whole: frozenset[int]) -> float | None:
    return len(part) / len(whole) if whole else None
