"""The malicious clients: who they are, and what they do to their updates where all updates come together."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import astuple, replace
from typing import Annotated, Any

import torch
from annotated_types import Interval, MaxLen, Predicate

from fedgan.core.arguments import Allowed, validated
from fedgan.core.rng import keyed_generator
from fedgan.core.round import Round
from fedgan.core.update import ClientUpdate
from fedgan.federated.contracts import check_updates, versions
from fedgan.federated.data import ClientData
from fedgan.federated.local import Reporter
from fedgan.update_attacks.base import UpdateAttack, UpdateReport, report


def choose_malicious(malicious: object, num_clients: int, seed: int) -> frozenset[int]:
    """The ids of the clients that the attacker controls: fewer than half of them (Section 3.2).

    Args:
        malicious: ``fl.malicious``: how many, drawn from the seed, or their ids.
        num_clients: N.
        seed: the run's.

    Raises:
        ValueError: in one line.

    Example:
        >>> choose_malicious([2], num_clients=4, seed=0), len(choose_malicious(3, num_clients=8, seed=0))
        (frozenset({2}), 3)
    """
    most = (num_clients - 1) // 2
    listed = f"a list of at most {most} different ids from 0 to {num_clients - 1}"
    words = f"a number of at most {most} (fewer than half of fl.num_clients={num_clients}), or {listed}"
    number = Annotated[int, Interval(ge=0, le=most)]
    ids = Annotated[Sequence[Annotated[int, Interval(ge=0, lt=num_clients)]], MaxLen(most), Predicate(_differ)]
    given = validated("fl.malicious", Annotated[number | ids, Allowed(words)], malicious)
    if isinstance(given, int):
        order = torch.randperm(num_clients, generator=keyed_generator(seed, "malicious"))
        return frozenset(order[:given].tolist())
    return frozenset(given)


def _differ(ids: Sequence[int]) -> bool:
    return len(set(ids)) == len(ids)


_ADDED = "added_loss/"  # begins the metrics in which the reports come to the server's process


def reported(reporters: Mapping[str, Reporter]) -> dict[str, float]:
    """What added losses did, among the malicious client's metrics until ``Attackers.alter`` takes it out.

    Args:
        reporters: by the setting that adds the loss, ``attack`` or ``update_attack``.
    """
    return {
        f"{_ADDED}{name}/{measure}": value
        for name, reporter in reporters.items()
        for measure, value in reporter.report().items()
    }


class Attackers:
    """The malicious clients at work on their updates, all of them together.

    Args:
        ids: of the malicious clients.
        attack: what they do.

    Attributes:
        reports: of the last round, one for each malicious client whose update was altered and can be used.
        added_losses: of the last round, by the setting that adds a loss and the malicious client, what the loss did.
    """

    def __init__(self, ids: frozenset[int], attack: UpdateAttack) -> None:
        self.ids, self.attack = ids, attack
        self.reports: list[UpdateReport] = []
        self.added_losses: dict[tuple[str, int], dict[str, float]] = {}
        self.last_round: int | None = None
        self._watched: int | None = None
        self._acted = self._rested = False

    def setup(self, *, num_clients: int, clients_per_round: int, rounds: int) -> None:
        """Prepare the attack for a federation of this size, if anybody is malicious.

        Raises:
            ValueError: in one line, if the attack could not act in it.
        """
        self.last_round = rounds - 1
        if self.ids:
            self.attack.setup(
                num_clients=num_clients,
                num_malicious=len(self.ids),
                clients_per_round=clients_per_round,
                rounds=rounds,
            )

    def equip(self, clients: Sequence[ClientData]) -> list[ClientData]:
        """The clients' data; the malicious ones' with what the attack has their generators learn besides."""
        loss = self.attack.added_loss()
        if loss is None:
            return list(clients)
        own = {"update_attack": (self.attack.window, loss)}
        return [
            replace(data, added_losses={**data.added_losses, **own}) if i in self.ids else data
            for i, data in enumerate(clients)
        ]

    def alter(self, updates: Sequence[ClientUpdate], round_: Round) -> list[ClientUpdate]:
        """This round's updates as the server gets them; the same object for each that is left alone.

        Raises:
            ValueError: in one line, if the attack acts in this round and changes nothing, or has rested in all rounds;
                if an added loss changed nothing.
        """
        self.reports, self.added_losses = [], {}
        updates = [self._without_report(update, round_) for update in updates]
        self._watch(round_)
        own = [update for update in updates if update.client_id in self.ids]
        sent = self._altered(own, updates, round_) if own and self._on_duty(round_) else own
        # Where there are no updates, in all processes but the server's, nobody knows whether the attack has acted.
        if updates and self._rested and not self._acted and round_.index == self.last_round:
            raise ValueError("update_attack: changed no update in any round")
        by_id = {update.client_id: update for update in sent}
        return [by_id.get(update.client_id, update) for update in updates]

    def _without_report(self, update: ClientUpdate, round_: Round) -> ClientUpdate:
        """What others may see of an update: not what added losses did, which goes to the receipts."""
        added = {name: value for name, value in update.metrics.items() if name.startswith(_ADDED)}
        if not added:
            return update
        for key, value in added.items():
            name, measure = key.removeprefix(_ADDED).split("/")
            if measure == "steps" and not value:
                where = f"malicious client {update.client_id} in round {round_.index}"
                raise ValueError(f"{name}: the added loss changed no local step of {where}")
            self.added_losses.setdefault((name, update.client_id), {})[measure] = value
        return replace(update, metrics={n: v for n, v in update.metrics.items() if n not in added})

    def _on_duty(self, round_: Round) -> bool:
        return self.attack.alters and self.attack.window.covers(round_.index)

    def _watch(self, round_: Round) -> None:
        if self.ids and self._watched != round_.index:  # a round may be repeated
            self.attack.watch(round_)
            self._watched = round_.index

    def _altered(
        self, own: Sequence[ClientUpdate], updates: Sequence[ClientUpdate], round_: Round
    ) -> Sequence[ClientUpdate]:
        known = updates if self.attack.knowledge == "all" else own
        if self.attack.rests(own, known, round_):
            self._rested = True
            return own
        before = versions(updates)
        sent = self.attack.alter(own, known, round_)
        check_updates("update_attack: alter", sent, own)
        if versions(updates) != before:
            raise ValueError("update_attack: alter must leave the states that it is given as they are")
        reports = [report(trained, altered, round_) for trained, altered in zip(own, sent, strict=True)]
        if not any(each.changed for each in reports):
            ids = ", ".join(str(update.client_id) for update in own)
            raise ValueError(f"update_attack: changed no update of malicious clients {ids} in round {round_.index}")
        self._acted = True
        # What is beyond measure cannot be aggregated either: it is left out as a fault, and events.csv says so.
        self.reports = [each for each in reports if all(map(math.isfinite, astuple(each)))]
        return sent

    def state_dict(self) -> dict[str, Any]:
        """The attack's memory, and whether it has ever acted."""
        return {"attack": self.attack.state_dict(), "acted": self._acted, "rested": self._rested}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Give the attack its memory back."""
        self.attack.load_state_dict(state["attack"])
        self._acted, self._rested = state["acted"], state["rested"]
