"""The clients at work: G_server goes out, they train, and their updates are collected, whatever goes wrong."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from fedgan.attacks.base import Attack
from fedgan.core.checks import check, check_choice, check_int
from fedgan.core.images import ImageSet
from fedgan.core.rng import keyed_generator
from fedgan.core.update import ClientUpdate
from fedgan.federated import messages
from fedgan.federated.client_pool import ClientPool
from fedgan.federated.faults import DIVERGING, Event, Tolerance, fault_of
from fedgan.gan.client import GANClient
from fedgan.gan.vectorized import train_together
from fedgan.models.base import Generator


@dataclass(frozen=True)
class LocalTraining:
    """How clients train in a round.

    Attributes:
        epochs: local epochs, at least 1.
        batch_size: images a local step, at least 1.
        engine: serial trains one client after the other; vectorized all of a round at once, equal but for rounding.

    Raises:
        ValueError: if one is out of range.
    """

    epochs: int = 1
    batch_size: int = 32
    engine: str = "serial"

    def __post_init__(self) -> None:
        check_int("fl.local_epochs", self.epochs, low=1)
        check_int("fl.batch_size", self.batch_size, low=1)
        check_choice("fl.engine", self.engine, ("serial", "vectorized"))


class Backend:
    """The clients of a federation, with their data.

    Args:
        clients: by id, equal at first but for their data.
        data: each client's training images, as it trains on them (poisoned where it is malicious).
        generator: G_server, which is sent out.
        attack: may alter the malicious clients' updates.
        malicious: their ids.
        local: how they train.
        tolerance: how many clients a round may lose.
        own_client: the id of the server's own, which trains alone, one epoch a round; None without one.
        seed: of every random stream.

    Attributes:
        round: t, as the federation counts.
        events: what went wrong in it.
        on_local_step: called after each local step with the client's id.

    Raises:
        ValueError: if a client has no full batch.
    """

    def __init__(
        self,
        *,
        clients: ClientPool,
        data: Sequence[ImageSet],
        generator: Generator,
        attack: Attack,
        malicious: frozenset[int] = frozenset(),
        local: LocalTraining,
        tolerance: Tolerance,
        own_client: int | None = None,
        seed: int = 0,
    ) -> None:
        self.clients, self.data, self.generator = clients, list(data), generator
        self.attack, self.malicious = attack, malicious
        self.local, self.tolerance, self.own_client, self.seed = local, tolerance, own_client, seed
        assert len(clients) == len(self.data), (len(clients), len(self.data))
        fewest = min(len(images) for images in self.data)
        allowed = f"at most {fewest}, the images of the client (or server) that has fewest"
        check(local.batch_size <= fewest, "fl.batch_size", allowed, local.batch_size)
        timed = local.engine == "serial" or tolerance.straggler_timeout is None
        allowed = "null with fl.engine=vectorized, where no client has a time of its own"
        check(timed, "fl.straggler_timeout", allowed, tolerance.straggler_timeout)
        self.round, self.device = 0, torch.device("cpu")
        self.events: list[Event] = []
        self.on_local_step: Callable[[int], None] = lambda client_id: None

    def settle(self, device: torch.device, profiler: Any) -> None:
        """Move in: the images that this process needs go to the device, as bytes, and the clients with them."""
        self.device = device
        for i in messages.own(range(len(self.data))):
            self.data[i] = self.data[i].to(device)
        self.clients.settle(device, profiler)

    def collect(self, ids: Sequence[int], round_: int) -> list[ClientUpdate]:
        """The updates of a round that can be aggregated; a round that loses too many is repeated.

        Each process trains the clients that live in it; the updates come together in the server's.

        Raises:
            ValueError: if it does so too often; the run stops, its last checkpoint is the round before.
            ConnectionError: if another process has ended.
        """
        self.round, self.events = round_, []
        needed = 1 if self.own_client in ids else self.tolerance.min_clients
        for attempt in range(self.tolerance.max_retries + 1):
            earlier, self.events = self.events, []
            own = messages.own(ids)
            for i in own:
                self.clients.hold(i)
            groups = [[i] for i in own] if self.local.engine == "serial" else [own]
            trained = [update for group in groups for update in self._try(group, attempt)]
            updates, events = messages.gather_updates(trained, self.events, self.device)
            self.events = [*earlier, *events]
            count = messages.share_fact(len(updates))
            if count >= needed:
                self._watch_losses(updates)
                return updates
            for i in own:
                self.clients.put_back(i)
            found = f"{count} of {len(ids)} updates can be used, fl.min_clients={needed}"
            again = attempt < self.tolerance.max_retries
            self._tell(None, "too_few_clients", found, "the round is repeated" if again else "the run stops")
        told = "; ".join(str(event) for event in events)
        raise ValueError(f"round {self.round} was tried {attempt + 1} times and given up: {found} ({told})")

    def _try(self, ids: Sequence[int], attempt: int) -> list[ClientUpdate]:
        """The updates of clients that are trained together; those that drop out or fail are left out, with an event."""
        return self._train([i for i in ids if not self._drops_out(i, attempt)], attempt)

    def _train(self, ids: Sequence[int], attempt: int) -> list[ClientUpdate]:
        start = time.perf_counter()
        try:
            updates = self.train_clients(ids, attempt)
        except torch.OutOfMemoryError as error:
            lower = "fl.batch_size, dataset.image_size or the widths in model.*"
            raise ValueError(f"the device is out of memory: lower {lower} ({error})") from error
        except Exception as error:  # whatever goes wrong with one client is no reason to lose the others' round
            return self._after_failure(ids, attempt, f"{type(error).__name__}: {error}")
        seconds = time.perf_counter() - start
        return [update for update in updates if self._is_good(update, seconds)]

    def _after_failure(self, ids: Sequence[int], attempt: int, said: str) -> list[ClientUpdate]:
        """Leave out the client that raised; of several trained together, train each alone to find which it was."""
        for i in ids:
            self.clients.put_back(i)
        if len(ids) == 1:
            self._tell(ids[0], "raised", said, "left out; its state is put back")
            return []
        self._tell(None, "raised", said, "the clients of this round are trained one after the other")
        return [update for i in ids for update in self._train([i], attempt)]

    def _is_good(self, update: ClientUpdate, seconds: float) -> bool:
        timeout = self.tolerance.straggler_timeout
        if timeout is not None and seconds > timeout:
            late = f"{seconds:.1f} s, fl.straggler_timeout={timeout}"
            self._tell(update.client_id, "late", late, "left out of this round")
            return False
        if fault := fault_of(update, self.generator.state_dict()):
            self.clients.put_back(update.client_id)
            self._tell(update.client_id, "bad_update", fault, "left out; its state is put back")
            return False
        return True

    def _drops_out(self, client_id: int, attempt: int) -> bool:
        if client_id == self.own_client:
            return False
        draw = torch.rand(1, generator=keyed_generator(self.seed, "dropout", client_id, self.round, attempt))
        if float(draw) >= self.tolerance.dropout:
            return False
        self._tell(client_id, "dropped_out", f"fl.dropout={self.tolerance.dropout}", "left out of this round")
        return True

    def _watch_losses(self, updates: Sequence[ClientUpdate]) -> None:
        for update in updates:
            for name in ("loss_g", "loss_d"):
                if abs(value := update.metrics[name]) > DIVERGING:
                    self._tell(update.client_id, "diverging", f"{name} is {value:.4g}", "training continues")

    def _tell(self, client_id: int | None, kind: str, detail: str, action: str) -> None:
        self.events.append(Event(self.round, client_id, kind, " ".join(detail.split()), action))

    def train_clients(self, ids: Sequence[int], attempt: int = 0) -> list[ClientUpdate]:
        """``train_client`` for each of them; several are trained together."""
        if len(ids) < 2:
            return [self.train_client(i, attempt) for i in ids]
        metrics = train_together(
            [self._sent_out(i) for i in ids],
            [self.data[i] for i in ids],
            epochs=self.local.epochs,
            batch_size=self.local.batch_size,
            rngs=[self._stream(i, attempt) for i in ids],
            on_step=lambda place: self.on_local_step(ids[place]),
        )
        return [self._sent_back(i, own, attempt) for i, own in zip(ids, metrics, strict=True)]

    def train_client(self, client_id: int, attempt: int = 0) -> ClientUpdate:
        """Send G_server to a client, have it train, and take its update (as its attacker sends it)."""
        metrics = self._sent_out(client_id).train_locally(
            self.data[client_id],
            epochs=self.epochs_of(client_id),
            batch_size=self.local.batch_size,
            rng=self._stream(client_id, attempt),
            on_step=partial(self.on_local_step, client_id),
        )
        return self._sent_back(client_id, metrics, attempt)

    def _sent_out(self, client_id: int) -> GANClient:
        client = self.clients[client_id]
        self.clients.changed(client_id, self.round)
        client.generator.load_state_dict(self.generator.state_dict())
        return client

    def _sent_back(self, client_id: int, metrics: dict[str, float], attempt: int) -> ClientUpdate:
        client, data = self.clients[client_id], self.data[client_id]
        if client.loss_samples and client_id != self.own_client:
            rng = self._stream(client_id, attempt, "final loss")
            metrics["loss_g_final"] = client.final_loss(data.labels, batch_size=self.local.batch_size, rng=rng)
        state = {name: tensor.detach() for name, tensor in client.generator.state_dict().items()}
        update = ClientUpdate(client_id, len(data), state, metrics)
        if client_id not in self.malicious:
            return update
        rng = keyed_generator(self.seed, "corrupt", client_id, "round", self.round, device=self.device)
        return self.attack.corrupt(update, rng)

    def _stream(self, client_id: int, attempt: int, *purpose: str) -> torch.Generator:
        """A round that is repeated has other random streams: the same would end the same."""
        again = ("attempt", attempt) if attempt else ()
        key = ("client", client_id, "round", self.round, *again, *purpose)
        return keyed_generator(self.seed, *key, device=self.device)

    def steps_of(self, client_id: int) -> int:
        """How many local steps a client takes in a round."""
        return self.epochs_of(client_id) * (len(self.data[client_id]) // self.local.batch_size)

    def epochs_of(self, client_id: int) -> int:
        """Passes over its images that a client makes in a round; the server, fine-tuning, makes one."""
        return 1 if client_id == self.own_client else self.local.epochs
