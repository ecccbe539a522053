"""The server: updates -> filtered -> weighed -> aggregate -> finished -> new global generator (Procedure B)."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer

from fedgan.core.checks import check
from fedgan.core.round import Round
from fedgan.core.update import ClientUpdate, State, weighted_mean
from fedgan.defenses.base import Aggregate, Decision, Defense, overrides
from fedgan.federated.federation import Federation
from fedgan.federated.weighting import Weighting

HOOKS = ("filter", "reweight", "aggregate", "finish")


class Server(Callback):
    """Aggregates with the weights of ``fl.weighting``, as the defenses change updates, weights and aggregate.

    Args:
        defenses: by name; the order is that of the configuration.
        weighting: each client's say before any defense acts.

    Attributes:
        decision: of the last round.
        last_of_clients: of the last round in which clients took part.
        rounds_acted: by defense with a hook at the server, in how many rounds it changed updates, weights or aggregate.
        receipts: by defense, what it did in the last round: ``acted`` (0 or 1) and its own numbers.

    Raises:
        ValueError: in one line, if two defenses have their own aggregate.
    """

    def __init__(self, defenses: Mapping[str, Defense], weighting: Weighting) -> None:
        aggregating = [name for name, defense in defenses.items() if overrides(defense, "aggregate")]
        check(len(aggregating) <= 1, "defense", "at most one with its own aggregate", aggregating)
        self.defenses, self.weighting = dict(defenses), weighting
        self.aggregator = self.defenses[aggregating[0]] if aggregating else None
        self.decision: Decision | None = None
        self.last_of_clients: Decision | None = None
        self.rounds_acted = {
            name: 0 for name, each in self.defenses.items() if any(overrides(each, hook) for hook in HOOKS)
        }
        self.receipts: dict[str, dict[str, float]] = {}

    def on_before_optimizer_step(
        self, trainer: Trainer, pl_module: LightningModule, optimizer: torch.optim.Optimizer
    ) -> None:
        """The server's part of a round, just before its optimizer steps."""
        assert isinstance(pl_module, Federation)
        if not trainer.is_global_zero:  # there are no updates here; the new generator comes from where they are
            return
        # In the order of ids, so that the result does not depend on who came first.
        updates = sorted(pl_module.updates, key=lambda update: update.client_id)
        if pl_module.fine_tunes:  # alone: nobody to weigh
            own = {update.client_id: 1.0 for update in updates}
            self.decision, self.receipts = Decision(own, frozenset(), dict.fromkeys(own, 0)), {}
            pl_module.replace(updates[0].state)
            return
        with torch.no_grad():
            state, self.decision = self.serve(updates, pl_module.this_round())
            pl_module.propose(state)
        self.last_of_clients = self.decision

    def serve(self, updates: Sequence[ClientUpdate], round_: Round) -> tuple[State, Decision]:
        """The round's aggregate, and what was made of its clients."""
        acted: dict[str, bool] = dict.fromkeys(self.rounds_acted, False)
        for name, defense in self.defenses.items():
            filtered = defense.filter(updates, round_)
            _check_same_clients(name, updates, filtered)
            acted[name] = any(new is not old for new, old in zip(filtered, updates, strict=True))
            updates = filtered
        decision = self._decide(updates, round_, acted)
        aggregate = self._aggregate(updates, decision.weights, round_)
        state = aggregate.state
        for name, defense in self.defenses.items():
            finished = defense.finish(state, round_)
            acted[name] |= finished is not state or defense is self.aggregator
            state = finished
        self._take_receipts(acted)
        return state, Decision(aggregate.weights or {}, decision.flagged, decision.flag_counts)

    def _decide(self, updates: Sequence[ClientUpdate], round_: Round, acted: dict[str, bool]) -> Decision:
        """The round's weights and flags, as one defense after the other changes them."""
        weights: Mapping[int, float] = self.weighting.weigh(updates)
        flagged: frozenset[int] = frozenset()
        counts = {update.client_id: 0 for update in updates}
        for name, defense in self.defenses.items():
            decision = defense.reweight(updates, weights, round_)
            acted[name] |= bool(decision.flagged) or any(decision.weights[i] != weights[i] for i in counts)
            weights, flagged = decision.weights, flagged | decision.flagged
            counts = {i: count + decision.flag_counts.get(i, 0) for i, count in counts.items()}
        return Decision(weights, flagged, counts)

    def _aggregate(self, updates: Sequence[ClientUpdate], weights: Mapping[int, float], round_: Round) -> Aggregate:
        """The aggregate of the defense that has one, or the weighted mean (Eq. 3)."""
        if self.aggregator is not None:
            return self.aggregator.aggregate(updates, weights, round_)
        shares = [weights[update.client_id] for update in updates]
        return Aggregate(weighted_mean([update.state for update in updates], shares), weights)

    def _take_receipts(self, acted: Mapping[str, bool]) -> None:
        for name in self.rounds_acted:
            self.rounds_acted[name] += acted[name]
            self.receipts[name] = {"acted": float(acted[name]), **self.defenses[name].receipt()}

    def state_dict(self) -> dict[str, Any]:
        """The memory of every defense, and the last decision about clients."""
        last = None if self.last_of_clients is None else self.last_of_clients.to_plain()
        memory = {name: defense.state_dict() for name, defense in self.defenses.items()}
        return {"defenses": memory, "last": last, "rounds_acted": dict(self.rounds_acted)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Give every defense its memory back."""
        for name, defense in self.defenses.items():
            defense.load_state_dict(state_dict["defenses"][name])
        last = state_dict["last"]
        self.last_of_clients = None if last is None else Decision.from_plain(last)
        self.rounds_acted = dict(state_dict["rounds_acted"])


def _check_same_clients(name: str, before: Sequence[ClientUpdate], after: Sequence[ClientUpdate]) -> None:
    """A filter changes updates; who takes part is not its affair (weights are).

    Raises:
        ValueError: in one line.
    """
    ids = [update.client_id for update in before]
    returned = [update.client_id for update in after]
    check(
        returned == ids, f"defense.{name}", f"a filter that returns an update for each of the clients {ids}", returned
    )
