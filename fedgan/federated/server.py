"""The server: updates -> filtered -> weighed -> aggregate -> finished -> new global generator (Procedure B)."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import torch
from annotated_types import MaxLen
from pytorch_lightning import Callback, LightningModule, Trainer

from fedgan.core.arguments import Allowed, validated
from fedgan.core.checks import check
from fedgan.core.round import Round
from fedgan.core.update import ClientUpdate, State, weighted_mean
from fedgan.defenses.base import Aggregate, Decision, Defense, overrides
from fedgan.federated.contracts import check_kind, check_rewind, check_state, check_updates, check_weights, versions
from fedgan.federated.federation import Federation
from fedgan.federated.weighting import Weighting

HOOKS = ("filter", "reweight", "aggregate", "finish", "rewinds")
_Aggregating = Annotated[Sequence[str], MaxLen(1), Allowed("at most one with its own aggregate")]


class Server(Callback):
    """Aggregates with the weights of ``fl.weighting``, as the defenses change updates, weights and aggregate.

    Args:
        defenses: by name; the order is that of the configuration.
        weighting: each client's say before any defense acts.

    Attributes:
        reweighting: the defenses, by name, that may change weights and flag clients.
        decision: of the last round.
        last_of_clients: of the last round in which clients took part.
        flag_counts: by client that ever took part, in how many rounds it was flagged by one defense or several.
        rounds_acted: by defense with a hook at the server, in how many rounds it changed updates, weights or aggregate,
            or set the generator back.
        flagged: by defense, the clients that it flagged in the last round.
        receipts: by defense, what it did in the last round: ``acted`` (0 or 1) and its own numbers.
        client_receipts: by defense that has any, and client, what it found in the last round: its own numbers, and
            ``flagged`` (0 or 1).
        rewound: by defense that may set the generator back, by how many rounds it did in the last round.
        past: the generators at the start of the last rounds, the oldest first, as many as a defense may want back.

    Raises:
        ValueError: in one line, if two defenses have their own aggregate.
    """

    def __init__(self, defenses: Mapping[str, Defense], weighting: Weighting) -> None:
        aggregating = [name for name, defense in defenses.items() if overrides(defense, "aggregate")]
        validated("defense", _Aggregating, aggregating)
        self.defenses, self.weighting = dict(defenses), weighting
        self.aggregating = aggregating[0] if aggregating else None
        self.aggregator = None if self.aggregating is None else self.defenses[self.aggregating]
        self.reweighting = [name for name, defense in self.defenses.items() if overrides(defense, "reweight")]
        self.decision: Decision | None = None
        self.last_of_clients: Decision | None = None
        self.rounds_acted = {
            name: 0 for name, each in self.defenses.items() if any(overrides(each, hook) for hook in HOOKS)
        }
        self.flagged: dict[str, frozenset[int]] = {}
        self.flag_counts: dict[int, int] = {}
        self.receipts: dict[str, dict[str, float]] = {}
        self.client_receipts: dict[str, dict[int, dict[str, float]]] = {}
        self.longest_rewind = max((each.longest_rewind for each in self.defenses.values()), default=0)
        self.past: list[dict[str, State]] = []
        self.rewound: dict[str, int] = {}

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
            self.decision, self.receipts = Decision(own).counted({}), {}
            self.client_receipts, self.flagged = {}, {}
            pl_module.replace(updates[0].state)
            return
        with torch.no_grad():
            if self.longest_rewind:
                self.past = [*self.past, pl_module.snapshot()][-self.longest_rewind :]
            state, self.decision = self.serve(updates, pl_module.this_round())
            if rounds := max(self.rewound.values(), default=0):  # the most that a defense wants
                pl_module.set_back(self.past[-rounds])
                self.past = []  # the next round begins with it
            else:
                pl_module.propose(state)
        self.last_of_clients = self.decision

    def serve(self, updates: Sequence[ClientUpdate], round_: Round) -> tuple[State, Decision]:
        """The round's aggregate, and what was made of its clients."""
        acted: dict[str, bool] = dict.fromkeys(self.rounds_acted, False)
        for name, defense in self.defenses.items():
            defense.check_present(updates)
            filtered = self._filtered(name, updates, round_)
            acted[name] = any(new is not old for new, old in zip(filtered, updates, strict=True))
            updates = filtered
        decision = self._decide(updates, round_, acted)
        aggregate = self._aggregate(updates, decision.weights, round_)
        self._check_weights_matter(aggregate)
        state = aggregate.state
        for name, defense in self.defenses.items():
            finished = defense.finish(state, round_)
            if finished is not state:
                check_state(f"defense.{name}: finish", finished, round_.reference)
            acted[name] |= finished is not state or defense is self.aggregator
            state = finished
        self.rewound = self._rewind(round_)
        for name, rounds in self.rewound.items():
            acted[name] |= rounds > 0
        self._take_receipts(acted)
        return state, Decision(aggregate.weights or {}, decision.flagged, decision.flag_counts)

    def _filtered(self, name: str, updates: Sequence[ClientUpdate], round_: Round) -> Sequence[ClientUpdate]:
        """The updates as a defense changes them."""
        if not overrides(self.defenses[name], "filter"):
            return updates
        place, before = f"defense.{name}: filter", versions(updates)
        filtered = self.defenses[name].filter(updates, round_)
        check_updates(place, filtered, updates)
        if versions(updates) != before:
            raise ValueError(f"{place} must leave the states that it is given as they are and return new ones")
        for old, new in zip(updates, filtered, strict=True):
            if new is not old:
                check_state(f"{place} of client {new.client_id}'s update", new.state, round_.reference)
        return filtered

    def _decide(self, updates: Sequence[ClientUpdate], round_: Round, acted: dict[str, bool]) -> Decision:
        """The round's weights and flags, as one defense after the other changes them."""
        weights: Mapping[int, float] = self.weighting.weigh(updates)
        clients = [update.client_id for update in updates]
        check_weights("fl.weighting", weights, clients)
        flagged: frozenset[int] = frozenset()
        for name, defense in self.defenses.items():
            decision = defense.reweight(updates, weights, round_)
            check_kind(f"defense.{name}: reweight", decision, Decision)
            check_weights(f"defense.{name}: reweight", decision.weights, clients)
            acted[name] |= bool(decision.flagged) or any(decision.weights[i] != weights[i] for i in clients)
            weights, flagged = decision.weights, flagged | decision.flagged
            self.flagged[name] = decision.flagged
        decision = Decision(weights, flagged).counted(self.flag_counts)
        self.flag_counts |= decision.flag_counts
        return decision

    def _aggregate(self, updates: Sequence[ClientUpdate], weights: Mapping[int, float], round_: Round) -> Aggregate:
        """The aggregate of the defense that has one, or the weighted mean (Eq. 3)."""
        if self.aggregator is not None:
            aggregate = self.aggregator.aggregate(updates, weights, round_)
            place = f"defense.{self.aggregating}: aggregate"
            check_kind(place, aggregate, Aggregate)
            check_state(place, aggregate.state, round_.reference)
            if aggregate.weights is not None:
                check_weights(place, aggregate.weights, [update.client_id for update in updates])
            return aggregate
        shares = [weights[update.client_id] for update in updates]
        return Aggregate(weighted_mean([update.state for update in updates], shares), weights)

    def _check_weights_matter(self, aggregate: Aggregate) -> None:
        """Refuse weights of one defense that the aggregate of another leaves aside.

        Raises:
            ValueError: in one line.
        """
        idle = [name for name in self.reweighting if self.defenses[name] is not self.aggregator]
        allowed = f"a list without {' and '.join(idle)}, since {self.aggregating} does not use weights"
        check(aggregate.weights is not None or not idle, "defense", allowed, list(self.defenses))

    def _rewind(self, round_: Round) -> dict[str, int]:
        """By how many rounds each defense that may set the generator back does: as many as it wants and there are."""
        back = {}
        for name, defense in self.defenses.items():
            if overrides(defense, "rewinds"):
                rounds = defense.rewinds(round_)
                check_rewind(f"defense.{name}: rewinds", rounds, defense.longest_rewind)
                if defense.longest_rewind:
                    back[name] = min(rounds, len(self.past))
        return back

    def _take_receipts(self, acted: Mapping[str, bool]) -> None:
        for name in self.rounds_acted:
            self.rounds_acted[name] += acted[name]
            back = {"rewound": float(self.rewound[name])} if name in self.rewound else {}
            self.receipts[name] = {"acted": float(acted[name]), **self.defenses[name].receipt(), **back}
            single = self.defenses[name].client_receipts()
            self.client_receipts[name] = {
                client: {**measures, "flagged": float(client in self.flagged[name])}
                for client, measures in single.items()
            }

    def state_dict(self) -> dict[str, Any]:
        """The memory of every defense, the last decision about clients, and what is counted."""
        last = None if self.last_of_clients is None else self.last_of_clients.to_plain()
        memory = {name: defense.state_dict() for name, defense in self.defenses.items()}
        counts = {"flag_counts": dict(self.flag_counts), "rounds_acted": dict(self.rounds_acted)}
        return {"defenses": memory, "last": last, "past": self.past, **counts}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Give every defense its memory back.

        Raises:
            ValueError: in one line, if a server of an earlier version wrote this.
        """
        known = "flag_counts" in state_dict
        check(known, "resume", "a run of this version of fedgan, whose server counts flags", "an earlier one's")
        for name, defense in self.defenses.items():
            defense.load_state_dict(state_dict["defenses"][name])
        last = state_dict["last"]
        self.last_of_clients = None if last is None else Decision.from_plain(last)
        self.flag_counts, self.rounds_acted = dict(state_dict["flag_counts"]), dict(state_dict["rounds_acted"])
        self.past = list(state_dict.get("past", []))  # a version that set nothing back kept none
