"""Clients trained one after the other; whatever goes wrong with one is no reason to lose the others' round."""

import time
from collections.abc import Iterator, Mapping, Sequence
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
from fedgan.federated.engines.base import Engine
from fedgan.federated.local import Client, Reporter

# What added losses draw from, by the setting that adds them.
_STREAMS = {"attack": "added loss", "update_attack": "added loss of the update attack"}


class SerialBackend(Engine):
    """A ``Backend`` that trains one client after the other, each process those that live in it.

    Args:
        clients: by id, equal at first.
        data: the training images of each client that may be trained here, by id.
        settings: see ``Engine``; ``sizes`` come from the data.
    """

    spreads = True

    def __init__(self, *, clients: ClientPool, data: Mapping[int, ClientData], **settings: Any) -> None:
        super().__init__(sizes={i: len(own) for i, own in data.items()}, **settings)
        self.clients, self.data = clients, dict(data)

    def settle(self, device: torch.device, profiler: Any) -> None:
        """See ``Backend``; images travel to the device as bytes."""
        self.device = device
        for i in messages.own(list(self.data)):
            self.data[i] = self.data[i].to(device)
        self.clients.settle(device, profiler)

    def snapshot(self, client_id: int) -> None:
        """See ``Engine``."""
        self.clients.snapshot(client_id)

    def collect(self, ids: Sequence[int], round_: Round, attempt: int) -> list[ClientUpdate]:
        """See ``Engine``."""
        return [update for group in self.groups(ids) for update in self._try(group, round_, attempt)]

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
        return [update for update in updates if self.is_good(update, round_, seconds)]

    def _after_failure(self, ids: Sequence[int], round_: Round, attempt: int, said: str) -> list[ClientUpdate]:
        """Leave out the client that raised; of several trained together, train each alone to find which it was."""
        for i in ids:
            self.clients.put_back(i)
        if len(ids) == 1:
            self.report(round_, ids[0], "raised", said, "left out; its state is put back")
            return []
        self.report(round_, None, "raised", said, "the clients of this round are trained one after the other")
        return [update for i in ids for update in self._try([i], round_, attempt)]

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

    def keep(self) -> None:
        """See ``Backend``."""
        self.clients.keep()

    def index(self, round_: int) -> dict[int, int]:
        """See ``Backend``."""
        return self.clients.index(round_)

    def rewind(self, index: Mapping[int, int]) -> None:
        """See ``Backend``."""
        self.clients.rewind(index)
