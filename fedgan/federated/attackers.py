"""The malicious clients: who they are, and what they do to their updates where all updates come together."""

from collections.abc import Sequence
from typing import Annotated

import torch
from annotated_types import Interval, MaxLen, Predicate

from fedgan.core.arguments import Allowed, validated
from fedgan.core.rng import keyed_generator
from fedgan.core.round import Round
from fedgan.core.update import ClientUpdate
from fedgan.federated.contracts import check_updates
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


class Attackers:
    """The malicious clients at work on their updates, all of them together.

    Args:
        ids: of the malicious clients.
        attack: what they do.

    Attributes:
        reports: of the last round, one for each malicious client whose update was altered.
    """

    def __init__(self, ids: frozenset[int], attack: UpdateAttack) -> None:
        self.ids, self.attack = ids, attack
        self.reports: list[UpdateReport] = []

    def alter(self, updates: Sequence[ClientUpdate], round_: Round) -> list[ClientUpdate]:
        """This round's updates as the server gets them.

        Raises:
            ValueError: in one line, if the attack acts in this round and changes nothing.
        """
        self.reports = []
        own = [update for update in updates if update.client_id in self.ids]
        if not own or not self.attack.acts or not self.attack.window.covers(round_.index):
            return list(updates)
        known = updates if self.attack.knowledge == "all" else own
        sent = self.attack.alter(own, known, round_)
        check_updates("update_attack: alter", sent, own)
        self.reports = [report(trained, altered, round_) for trained, altered in zip(own, sent, strict=True)]
        if not any(each.share_changed for each in self.reports):
            ids = ", ".join(str(update.client_id) for update in own)
            raise ValueError(f"update_attack: changed no update of malicious clients {ids} in round {round_.index}")
        by_id = {update.client_id: update for update in sent}
        return [by_id.get(update.client_id, update) for update in updates]
