"""Clients at sites, all of a round at once: what one of them sends, or does not send, costs no other's round."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from fedgan.core.arguments import validated
from fedgan.core.round import Round
from fedgan.core.update import ClientUpdate
from fedgan.federated.engines.base import Engine
from fedgan.federated.engines.sites import Sites
from fedgan.flower.letters import Order, Token, read_update, write_order

PUT_BACK = "left out; its state is put back"


class FlowerBackend(Engine):
    """A ``Backend`` whose clients train where their images are.

    A site keeps its discriminator in files, one for each round that it has trained; the server says which of them it
    continues from. What did not reach the server did not happen: the site goes back to what it had before.

    Args:
        sites: where the clients are; with the settings that they train with.
        run: names the run to the sites.
        settings: see ``Engine``.
    """

    spreads = False
    remote = True

    def __init__(self, *, sites: Sites, run: str | None, **settings: Any) -> None:
        super().__init__(**settings)
        self.run: str = validated("fl.backend.run", Token, run)
        self.sites = sites
        self._kept: dict[int, int] = {}
        self._before: dict[int, int | None] = {}
        self._checkpointed: int | None = None

    def settle(self, device: torch.device, profiler: Any) -> None:
        """See ``Backend``; the sites' steps are in nobody's profile."""
        self.device = device

    def snapshot(self, client_id: int) -> None:
        """See ``Engine``."""
        self._before[client_id] = self._kept.get(client_id)

    def put_back(self, ids: Sequence[int]) -> None:
        """See ``Backend``; the sites learn it from their next order."""
        for i in ids:
            before = self._before[i]
            if before is None:
                self._kept.pop(i, None)
            else:
                self._kept[i] = before

    def collect(self, ids: Sequence[int], round_: Round, attempt: int) -> list[ClientUpdate]:
        """See ``Engine``."""
        orders = {i: write_order(self._order(i, round_, attempt), round_.reference) for i in ids}
        start, timeout = time.perf_counter(), self.tolerance.straggler_timeout
        answers = self.sites.train(orders, timeout) if orders else {}
        waited = time.perf_counter() - start
        for i in (each for each in ids if each not in answers):
            self.report(round_, i, "late", f"no update in {waited:.1f} s, fl.straggler_timeout={timeout}", PUT_BACK)
        return [update for i in ids if i in answers for update in self._read(i, answers[i], round_)]

    def _order(self, client_id: int, round_: Round, attempt: int) -> Order:
        return Order(
            run=self.run,
            client=client_id,
            round=round_.index,
            attempt=attempt,
            kept=self._kept.get(client_id),
            checkpointed=self._checkpointed,
            settings=self.sites.settings,
        )

    def _read(self, client_id: int, answer: bytes | str, round_: Round) -> list[ClientUpdate]:
        """The update in an answer; none where it has none that can be used."""
        if isinstance(answer, str):
            self.report(round_, client_id, "raised", answer, PUT_BACK)
            return []
        try:
            update = read_update(answer, client_id, self.sizes[client_id], self.losses, self.metrics)
        except ValueError as error:
            self.report(round_, client_id, "bad_update", str(error), PUT_BACK)
            return []
        state = {name: tensor.to(self.device) for name, tensor in update.state.items()}
        update = ClientUpdate(client_id, update.num_examples, state, update.metrics)
        self._kept[client_id] = round_.index
        return [update] if self.is_good(update, round_, seconds=0.0) else []  # what is late is not among the answers

    def keep(self) -> None:
        """See ``Backend``; the sites have written theirs."""

    def index(self, round_: int) -> dict[int, int]:
        """See ``Backend``."""
        self._checkpointed = round_
        return dict(self._kept)

    def rewind(self, index: Mapping[int, int]) -> None:
        """See ``Backend``."""
        self._kept = dict(index)
