"""What every engine does around local training: whatever goes wrong with one client, the others' round is kept."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence

import torch

from fedgan.core.rng import keyed_generator
from fedgan.core.round import Round
from fedgan.core.update import ClientUpdate
from fedgan.federated import messages
from fedgan.federated.faults import Event, Tolerance, fault_of
from fedgan.federated.local import LocalAlgorithm, LocalSettings


class Engine(ABC):
    """The part of a ``Backend`` that needs no images: who drops out, what is no good update, and what is said of it.

    Args:
        algorithm: what clients do.
        sizes: how many images each client has, by id.
        local: how long they train.
        tolerance: who may drop out or be late.
        own_client: the id of the server's own, which neither drops out nor is late; None without one.
        own_epochs: passes over its images that the server's own makes in a round.
        seed: of every random stream.
    """

    def __init__(
        self,
        *,
        algorithm: LocalAlgorithm,
        sizes: Mapping[int, int],
        local: LocalSettings,
        tolerance: Tolerance,
        own_client: int | None = None,
        own_epochs: int = 1,
        seed: int = 0,
    ) -> None:
        self.algorithm, self.losses, self.metrics = algorithm, algorithm.losses, algorithm.metrics
        self.sizes, self.local, self.tolerance, self.seed = dict(sizes), local, tolerance, seed
        self.own_client, self.own_epochs = own_client, own_epochs
        self.device = torch.device("cpu")
        self.on_local_step: Callable[[int], None] = lambda client_id: None
        self._events: list[Event] = []

    @abstractmethod
    def snapshot(self, client_id: int) -> None:
        """Make sure that ``put_back`` can restore the client's current state."""

    @abstractmethod
    def put_back(self, ids: Sequence[int]) -> None:
        """See ``Backend``."""

    @abstractmethod
    def collect(self, ids: Sequence[int], round_: Round, attempt: int) -> list[ClientUpdate]:
        """The good updates of these clients, in any order; what is not ``is_good`` is reported and left out."""

    def train(self, ids: Sequence[int], round_: Round, attempt: int = 0) -> tuple[list[ClientUpdate], list[Event]]:
        """See ``Backend``."""
        self._events = []
        own = messages.own(ids)
        for i in own:
            self.snapshot(i)
        present = [i for i in own if not self._drops_out(i, round_, attempt)]
        trained = self.collect(present, round_, attempt)
        trained.sort(key=lambda update: update.client_id)  # they may come in any order
        return messages.gather_updates(trained, self._events, self.device)

    def is_good(self, update: ClientUpdate, round_: Round, seconds: float) -> bool:
        """Whether an update came in time and can be aggregated; if not, it is reported."""
        timeout = self.tolerance.straggler_timeout
        if timeout is not None and seconds > timeout and update.client_id != self.own_client:
            late = f"{seconds:.1f} s, fl.straggler_timeout={timeout}"
            self.report(round_, update.client_id, "late", late, "left out of this round")
            return False
        if fault := fault_of(update, round_.reference):
            self.put_back([update.client_id])
            self.report(round_, update.client_id, "bad_update", fault, "left out; its state is put back")
            return False
        return True

    def report(self, round_: Round, client_id: int | None, kind: str, detail: str, action: str) -> None:
        """Note what went wrong, for events.csv."""
        self._events.append(Event(round_.index, client_id, kind, " ".join(detail.split()), action))

    def _drops_out(self, client_id: int, round_: Round, attempt: int) -> bool:
        if client_id == self.own_client:
            return False
        draw = torch.rand(1, generator=keyed_generator(self.seed, "dropout", client_id, round_.index, attempt))
        if float(draw) >= self.tolerance.dropout:
            return False
        self.report(round_, client_id, "dropped_out", f"fl.dropout={self.tolerance.dropout}", "left out of this round")
        return True

    def batch_of(self, client_id: int) -> int:
        """Images a local step of this client."""
        return min(self.local.batch_size, self.sizes[client_id])

    def epochs_of(self, client_id: int) -> int:
        """Passes over its images that a client makes in a round."""
        return self.own_epochs if client_id == self.own_client else self.local.local_epochs

    def steps_of(self, client_id: int) -> int:
        """See ``Backend``."""
        return self.epochs_of(client_id) * (self.sizes[client_id] // self.batch_of(client_id))

    def images_of(self, client_id: int) -> int:
        """See ``Backend``."""
        return self.steps_of(client_id) * self.batch_of(client_id)
