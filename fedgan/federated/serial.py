"""Clients trained one after the other; whatever goes wrong with one is no reason to lose the others' round."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import torch

from fedgan.core.rng import keyed_generator
from fedgan.core.round import Round
from fedgan.core.update import ClientUpdate
from fedgan.federated import messages
from fedgan.federated.attackers import reported
from fedgan.federated.client_pool import ClientPool
from fedgan.federated.data import ClientData
from fedgan.federated.faults import Event, Tolerance, fault_of
from fedgan.federated.local import Client, LocalAlgorithm, LocalSettings, Reporter

# What added losses draw from, by the setting that adds them.
_STREAMS = {"attack": "added loss", "update_attack": "added loss of the update attack"}


class SerialBackend:
    """A ``Backend`` that trains one client after the other, each process those that live in it.

    Args:
        algorithm: what clients do.
        clients: by id, equal at first.
        data: each client's training images.
        local: how long they train.
        tolerance: who may drop out or be late.
        own_client: the id of the server's own, which neither drops out nor is late; None without one.
        own_epochs: passes over its images that the server's own makes in a round.
        seed: of every random stream.
    """

    spreads = True

    def __init__(
        self,
        *,
        algorithm: LocalAlgorithm,
        clients: ClientPool,
        data: Sequence[ClientData],
        local: LocalSettings,
        tolerance: Tolerance,
        own_client: int | None = None,
        own_epochs: int = 1,
        seed: int = 0,
    ) -> None:
        assert len(clients) == len(data), (len(clients), len(data))
        self.algorithm, self.losses, self.metrics = algorithm, algorithm.losses, algorithm.metrics
        self.clients, self.data = clients, list(data)
        self.local, self.tolerance, self.seed = local, tolerance, seed
        self.own_client, self.own_epochs = own_client, own_epochs
        self.device = torch.device("cpu")
        self.on_local_step: Callable[[int], None] = lambda client_id: None
        self._events: list[Event] = []

    def settle(self, device: torch.device, profiler: Any) -> None:
        """See ``Backend``; images travel to the device as bytes."""
        self.device = device
        for i in messages.own(range(len(self.data))):
            self.data[i] = self.data[i].to(device)
        self.clients.settle(device, profiler)

    def train(self, ids: Sequence[int], round_: Round, attempt: int = 0) -> tuple[list[ClientUpdate], list[Event]]:
        """See ``Backend``."""
        self._events = []
        own = messages.own(ids)
        for i in own:
            self.clients.snapshot(i)
        present = [i for i in own if not self._drops_out(i, round_, attempt)]
        trained = [update for group in self.groups(present) for update in self._try(group, round_, attempt)]
        trained.sort(key=lambda update: update.client_id)  # groups may interleave
        return messages.gather_updates(trained, self._events, self.device)

    def groups(self, ids: Sequence[int]) -> list[list[int]]:
        """The clients that are trained together."""
        return [[i] for i in ids]

    def put_back(self, ids: Sequence[int]) -> None:
        """See ``Backend``."""
        for i in messages.own(ids):
            self.clients.put_back(i)

    def _try(self, ids: Sequence[int], round_: Round, attempt: int) -> list[ClientUpdate]:
        """The updates of clients that are trained together; those that fail are left out, with an event."""
        start = time.perf_counter()
        try:
            updates = self.train_clients(ids, round_, attempt)
        except torch.OutOfMemoryError as error:
            lower = "fl.batch_size, dataset.image_size or the widths in model.*"
            raise ValueError(f"the device is out of memory: lower {lower} ({error})") from error
        except Exception as error:  # whatever goes wrong with one client is no reason to lose the others' round
            return self._after_failure(ids, round_, attempt, f"{type(error).__name__}: {error}")
        seconds = time.perf_counter() - start
        return [update for update in updates if self._is_good(update, round_, seconds)]

    def _after_failure(self, ids: Sequence[int], round_: Round, attempt: int, said: str) -> list[ClientUpdate]:
        """Leave out the client that raised; of several trained together, train each alone to find which it was."""
        for i in ids:
            self.clients.put_back(i)
        if len(ids) == 1:
            self._report(round_, ids[0], "raised", said, "left out; its state is put back")
            return []
        self._report(round_, None, "raised", said, "the clients of this round are trained one after the other")
        return [update for i in ids for update in self._try([i], round_, attempt)]

    def _is_good(self, update: ClientUpdate, round_: Round, seconds: float) -> bool:
        timeout = self.tolerance.straggler_timeout
        if timeout is not None and seconds > timeout and update.client_id != self.own_client:
            late = f"{seconds:.1f} s, fl.straggler_timeout={timeout}"
            self._report(round_, update.client_id, "late", late, "left out of this round")
            return False
        if fault := fault_of(update, round_.reference):
            self.clients.put_back(update.client_id)
            self._report(round_, update.client_id, "bad_update", fault, "left out; its state is put back")
            return False
        return True

    def _drops_out(self, client_id: int, round_: Round, attempt: int) -> bool:
        if client_id == self.own_client:
            return False
        draw = torch.rand(1, generator=keyed_generator(self.seed, "dropout", client_id, round_.index, attempt))
        if float(draw) >= self.tolerance.dropout:
            return False
        self._report(round_, client_id, "dropped_out", f"fl.dropout={self.tolerance.dropout}", "left out of this round")
        return True

    def _report(self, round_: Round, client_id: int | None, kind: str, detail: str, action: str) -> None:
        self._events.append(Event(round_.index, client_id, kind, " ".join(detail.split()), action))

    def train_clients(self, ids: Sequence[int], round_: Round, attempt: int = 0) -> list[ClientUpdate]:
        """The updates of a group."""
        return [self.train_client(i, round_, attempt) for i in ids]

    def train_client(self, client_id: int, round_: Round, attempt: int = 0) -> ClientUpdate:
        """Send the reference to a client, have it train, and take its update."""
        client = self._sent_out(client_id, round_)
        arrival = self._arrival(client_id, round_)
        with self._with_added_losses([client_id], round_, attempt) as reporters:
            metrics = client.train_locally(
                self.data[client_id].at(round_.index),
                epochs=self.epochs_of(client_id),
                batch_size=self.batch_of(client_id),
                rng=self._stream(client_id, round_, attempt),
                on_step=partial(self.on_local_step, client_id),
            )
        return self._sent_back(client_id, metrics | reported(reporters[client_id]) | arrival, round_, attempt)

    @contextmanager
    def _with_added_losses(
        self, ids: Sequence[int], round_: Round, attempt: int
    ) -> Iterator[Mapping[int, Mapping[str, Reporter]]]:
        """Malicious clients train with their added losses in this context; what reports on each client's, by name."""
        with ExitStack() as stack:
            reporters: dict[int, dict[str, Reporter]] = {i: {} for i in ids}
            for i, own in reporters.items():
                for name, loss in self.data[i].added_losses_at(round_.index).items():
                    rng = self._stream(i, round_, attempt, _STREAMS[name])
                    classes = len(self.data[i].clean.classes)
                    own[name] = stack.enter_context(self.clients[i].with_added_loss(loss, classes, rng))
            yield reporters

    def _sent_out(self, client_id: int, round_: Round) -> Client:
        client = self.clients[client_id]
        self.clients.changed(client_id, round_.index)
        client.generator.load_state_dict(dict(round_.reference))
        return client

    def _arrival(self, client_id: int, round_: Round) -> dict[str, float]:
        """What a client says of the generator that it was sent; all judge the same images."""
        if client_id == self.own_client:
            return {}
        classes, rng = len(self.data[client_id].clean.classes), round_.rng("arrival", device=self.device)
        return self.clients[client_id].measure_arrival(num_classes=classes, batch_size=self.local.batch_size, rng=rng)

    def _sent_back(self, client_id: int, metrics: dict[str, float], round_: Round, attempt: int) -> ClientUpdate:
        client, data = self.clients[client_id], self.data[client_id].at(round_.index)
        if client_id != self.own_client:
            rng = self._stream(client_id, round_, attempt, "final loss")
            metrics |= client.measure(data, batch_size=self.batch_of(client_id), rng=rng)
        state = {name: tensor.detach() for name, tensor in client.generator.state_dict().items()}
        return ClientUpdate(client_id, len(data), state, metrics)

    def _stream(self, client_id: int, round_: Round, attempt: int, *purpose: str) -> torch.Generator:
        """A round that is repeated has other random streams: the same would end the same."""
        again = ("attempt", attempt) if attempt else ()
        key = ("client", client_id, "round", round_.index, *again, *purpose)
        return keyed_generator(self.seed, *key, device=self.device)

    def batch_of(self, client_id: int) -> int:
        """Images a local step of this client."""
        return min(self.local.batch_size, len(self.data[client_id]))

    def epochs_of(self, client_id: int) -> int:
        """Passes over its images that a client makes in a round."""
        return self.own_epochs if client_id == self.own_client else self.local.local_epochs

    def steps_of(self, client_id: int) -> int:
        """See ``Backend``."""
        return self.epochs_of(client_id) * (len(self.data[client_id]) // self.batch_of(client_id))

    def images_of(self, client_id: int) -> int:
        """See ``Backend``."""
        return self.steps_of(client_id) * self.batch_of(client_id)

    def keep(self) -> None:
        """See ``Backend``."""
        self.clients.keep()

    def index(self, round_: int) -> dict[int, int]:
        """See ``Backend``."""
        return self.clients.index(round_)

    def rewind(self, index: Mapping[int, int]) -> None:
        """See ``Backend``."""
        self.clients.rewind(index)
