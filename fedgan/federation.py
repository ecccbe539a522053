"""The round: one Trainer, an epoch is a round, its batch is the ids of the clients that take part."""

import copy
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from pytorch_lightning import LightningModule
from pytorch_lightning.profilers import PassThroughProfiler, Profiler
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from fedgan import exchange
from fedgan.attacks.base import Attack
from fedgan.checks import check, check_choice, check_int, check_number
from fedgan.client import GANClient
from fedgan.clients import Clients
from fedgan.data import ImageSet, to_uint8
from fedgan.faults import DIVERGING, Event, Tolerance, fault_of
from fedgan.models.base import Generator
from fedgan.recipe import OptimizerFactory, check_optimizer
from fedgan.rng import keyed_generator
from fedgan.update import ClientUpdate, State
from fedgan.vectorised import train_together


class Participants(Dataset[list[int]]):
    """Who takes part: one item, what ``draw`` says when it is asked."""

    def __init__(self, draw: Callable[[], list[int]]) -> None:
        self.draw = draw

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> list[int]:
        return self.draw()


def draw_participants(num_clients: int, count: int, seed: int, round_: int) -> list[int]:
    """``count`` of ``num_clients`` ids without replacement, ascending; the stream is selection's own.

    Example:
        >>> draw_participants(4, 4, seed=0, round_=7)
        [0, 1, 2, 3]
    """
    order = torch.randperm(num_clients, generator=keyed_generator(seed, "participants", round_))
    return sorted(order[:count].tolist())


@dataclass(frozen=True)
class FineTuning:
    """Rounds after the federation's, in which the server trains the generator alone, as a client of its own would.

    Attributes:
        data: the server's images; its id as a client is one past the last client's.
        start: the first of these rounds.
    """

    data: ImageSet
    start: int


class Federation(LightningModule):
    """Clients and the global generator; the server (a callback) turns their updates into its step.

    Args:
        clients: by id, equal at first but for their data; with ``fine_tuning`` the last is the server's own.
        generator: G_server at round 0.
        data: each client's training images, as it trains on them (poisoned where it is malicious).
        server_optimizer: makes the optimizer that follows the pseudo-gradient G_server - sum_i w_i G_i;
            SGD with learning rate 1 is FedAvg (Reddi et al. 2021).
        attack: may alter the malicious clients' updates.
        malicious: their ids.
        local_epochs: local epochs a round.
        batch_size: images a local step; no client may have fewer.
        clients_per_round: how many take part in a round; None for all.
        engine: serial trains one client after the other; vectorized all of a round at once, equal but for rounding.
        tolerance: how many clients a round may lose.
        fine_tuning: what comes after the federation's rounds; None for nothing.
        ema: how much of itself the released generator keeps in round t, min(ema, (1 + t) / (10 + t)), in
            [0, 1); 0 releases G_server.
        seed: of every random stream.
    """

    def __init__(
        self,
        *,
        clients: Clients,
        generator: Generator,
        data: Sequence[ImageSet],
        server_optimizer: OptimizerFactory,
        attack: Attack,
        malicious: frozenset[int] = frozenset(),
        local_epochs: int = 1,
        batch_size: int = 32,
        clients_per_round: int | None = None,
        engine: str = "serial",
        tolerance: Tolerance | None = None,
        fine_tuning: FineTuning | None = None,
        ema: float = 0.0,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.clients = clients
        self.generator, self.z_dim = generator, generator.z_dim
        self.released = copy.deepcopy(generator) if ema else generator
        self.data, self.attack, self.malicious = list(data), attack, malicious
        self.server_optimizer = server_optimizer
        self.local_epochs, self.batch_size, self.ema, self.seed = local_epochs, batch_size, ema, seed
        self.num_clients, self.fine_tuning = len(data), fine_tuning
        if fine_tuning is not None:
            self.data.append(fine_tuning.data)
        assert len(clients) == len(self.data), (len(clients), len(self.data))
        self.clients_per_round = self.num_clients if clients_per_round is None else clients_per_round
        self.engine, self.tolerance = engine, tolerance or Tolerance()
        self._check()
        self.updates: list[ClientUpdate] = []
        self.events: list[Event] = []  # of this round
        self.on_local_step: Callable[[int], None] = lambda client_id: None
        self.profiler: Profiler = PassThroughProfiler()
        self.seconds = 0.0

    def _check(self) -> None:
        check_optimizer("fl.server_optimizer", self.server_optimizer)
        check_int("fl.local_epochs", self.local_epochs, low=1)
        check_int("fl.clients_per_round", self.clients_per_round, low=1, high=self.num_clients)
        check_choice("fl.engine", self.engine, ("serial", "vectorized"))
        timed = self.engine == "serial" or self.tolerance.straggler_timeout is None
        allowed = "null with fl.engine=vectorized, where no client has a time of its own"
        check(timed, "fl.straggler_timeout", allowed, self.tolerance.straggler_timeout)
        check_int("fl.min_clients", self.tolerance.min_clients, low=1, high=self.clients_per_round)
        check_number("model.ema", self.ema, low=0.0, high=1.0, high_allowed=False)
        fewest = min(len(images) for images in self.data)
        check_int("fl.batch_size", self.batch_size, low=1)
        allowed = f"at most {fewest}, the images of the client (or server) that has fewest"
        check(self.batch_size <= fewest, "fl.batch_size", allowed, self.batch_size)

    @property
    def round(self) -> int:
        """t, counted from 0 as in Algorithm 1."""
        return int(self.current_epoch)

    @property
    def fine_tunes(self) -> bool:
        """Whether this round is the server's own."""
        return self.fine_tuning is not None and self.round >= self.fine_tuning.start

    @property
    def fine_tuning_rounds(self) -> int:
        """How many rounds of its own the server has begun."""
        return max(0, self.round - self.fine_tuning.start) if self.fine_tuning is not None else 0

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """The server's optimizer, over the global generator alone; clients keep their own."""
        return self.server_optimizer(self.generator.parameters())

    def train_dataloader(self) -> DataLoader[list[int]]:
        """One batch a round: the ids of the clients that take part."""
        return DataLoader(Participants(self.participants), batch_size=None)

    def participants(self) -> list[int]:
        """The ids of the clients that take part in this round; the server's own client, when it fine-tunes."""
        if self.fine_tunes:
            return [self.num_clients]
        return draw_participants(self.num_clients, self.clients_per_round, self.seed, self.round)

    def on_fit_start(self) -> None:
        """Put the images on the device, as bytes, and let the clients' steps show up in the profile."""
        for i in exchange.own(range(len(self.data))):
            self.data[i] = self.data[i].to(self.device)
        self.profiler = self.trainer.profiler  # type: ignore[attr-defined]
        self.clients.settle(self.device, self.profiler)

    def training_step(self, batch: list[int], batch_idx: int) -> None:
        """One round: every participant trains from G_server, then the server steps.

        The server acts in its ``on_before_optimizer_step``, where it turns ``updates`` into the
        pseudo-gradient by calling ``propose``.
        """
        start = time.perf_counter()
        if self.fine_tuning is not None and self.round == self.fine_tuning.start:
            self.generator.load_state_dict(self.released.state_dict())  # it is the released one that is mended
        self.events = []
        self.updates = self.collect(batch)
        self._watch_losses()
        with self.profiler.profile("server"):
            self.optimizers().step()  # type: ignore[union-attr]
            if exchange.size() > 1:
                self.generator.load_state_dict(exchange.share_state(self.generator.state_dict()))
            self._release()
        self.seconds = time.perf_counter() - start

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor | None:
        """The released generator's images for (latents, labels), as bytes; in the server's process alone."""
        if exchange.rank():
            return None
        z, labels = batch
        return to_uint8(self.released(z, labels))

    def collect(self, ids: Sequence[int]) -> list[ClientUpdate]:
        """The updates of this round that can be aggregated; a round that loses too many is repeated.

        Each process trains the clients that live in it; the updates come together in the server's.

        Raises:
            ValueError: if it does so too often; the run stops, its last checkpoint is the round before.
            ConnectionError: if another process has ended.
        """
        needed = 1 if self.fine_tunes else self.tolerance.min_clients
        for attempt in range(self.tolerance.max_retries + 1):
            earlier, self.events = self.events, []
            before = {i: self.clients[i].snapshot() for i in exchange.own(ids)}
            groups = [[i] for i in before] if self.engine == "serial" else [list(before)]
            trained = [update for group in groups for update in self._try(group, attempt, before)]
            updates, events = exchange.gather_updates(trained, self.events)
            self.events = [*earlier, *events]
            count = exchange.share_fact(len(updates))
            if count >= needed:
                return updates
            for i, snapshot in before.items():
                self.clients[i].restore(snapshot)
            found = f"{count} of {len(ids)} updates can be used, fl.min_clients={needed}"
            again = attempt < self.tolerance.max_retries
            self._tell(None, "too_few_clients", found, "the round is repeated" if again else "the run stops")
        told = "; ".join(str(event) for event in events)
        raise ValueError(f"round {self.round} was tried {attempt + 1} times and given up: {found} ({told})")

    def _try(self, ids: Sequence[int], attempt: int, before: Mapping[int, dict[str, Any]]) -> list[ClientUpdate]:
        """The updates of clients that are trained together; what goes wrong with one is told, and it is left out."""
        answering = [i for i in ids if not self._drops_out(i, attempt)]
        start = time.perf_counter()
        try:
            updates = self.train_clients(answering, attempt)
        except torch.OutOfMemoryError as error:
            lower = "fl.batch_size, dataset.image_size or the widths in model.*"
            raise ValueError(f"the device is out of memory: lower {lower} ({error})") from error
        except Exception as error:  # whatever goes wrong with one client is no reason to lose the others' round
            for i in answering:
                self.clients[i].restore(before[i])
                self._tell(i, "raised", f"{type(error).__name__}: {error}", "left out; its state is put back")
            return []
        seconds = time.perf_counter() - start
        return [update for update in updates if self._is_good(update, seconds, before[update.client_id])]

    def _is_good(self, update: ClientUpdate, seconds: float, before: dict[str, Any]) -> bool:
        timeout = self.tolerance.straggler_timeout
        if timeout is not None and seconds > timeout:
            late = f"{seconds:.1f} s, fl.straggler_timeout={timeout}"
            self._tell(update.client_id, "late", late, "left out of this round")
            return False
        if fault := fault_of(update, self.generator.state_dict()):
            self.clients[update.client_id].restore(before)
            self._tell(update.client_id, "bad_update", fault, "left out; its state is put back")
            return False
        return True

    def _drops_out(self, client_id: int, attempt: int) -> bool:
        if self.fine_tunes:  # nobody to be lost
            return False
        draw = torch.rand(1, generator=keyed_generator(self.seed, "dropout", client_id, self.round, attempt))
        if float(draw) >= self.tolerance.dropout:
            return False
        self._tell(client_id, "dropped_out", f"fl.dropout={self.tolerance.dropout}", "left out of this round")
        return True

    def _watch_losses(self) -> None:
        for update in self.updates:
            for name in ("loss_g", "loss_d"):
                if abs(update.metrics[name]) > DIVERGING:
                    self._tell(
                        update.client_id, "diverging", f"{name} is {update.metrics[name]:.4g}", "training goes on"
                    )

    def _tell(self, client_id: int | None, kind: str, detail: str, action: str) -> None:
        self.events.append(Event(self.round, client_id, kind, " ".join(detail.split()), action))

    def train_clients(self, ids: Sequence[int], attempt: int = 0) -> list[ClientUpdate]:
        """``train_client`` for each of them; several are trained together."""
        if len(ids) < 2:
            return [self.train_client(i, attempt) for i in ids]
        metrics = train_together(
            [self._sent_out(i) for i in ids],
            [self.data[i] for i in ids],
            epochs=self.local_epochs,
            batch_size=self.batch_size,
            rngs=[self._stream(i, attempt) for i in ids],
            on_step=lambda place: self.on_local_step(ids[place]),
        )
        return [self._sent_back(i, own) for i, own in zip(ids, metrics, strict=True)]

    def train_client(self, client_id: int, attempt: int = 0) -> ClientUpdate:
        """Send G_server to a client, have it train, and take its update (as its attacker sends it)."""
        metrics = self._sent_out(client_id).train_locally(
            self.data[client_id],
            epochs=self.epochs_of(client_id),
            batch_size=self.batch_size,
            rng=self._stream(client_id, attempt),
            on_step=partial(self.on_local_step, client_id),
        )
        return self._sent_back(client_id, metrics)

    def _sent_out(self, client_id: int) -> GANClient:
        client = self.clients[client_id]
        self.clients.changed(client_id, self.round)
        client.generator.load_state_dict(self.generator.state_dict())
        return client

    def _sent_back(self, client_id: int, metrics: dict[str, float]) -> ClientUpdate:
        state = {name: tensor.detach() for name, tensor in self.clients[client_id].generator.state_dict().items()}
        update = ClientUpdate(client_id, len(self.data[client_id]), state, metrics)
        if client_id not in self.malicious:
            return update
        rng = keyed_generator(self.seed, "corrupt", client_id, "round", self.round, device=self.device)
        return self.attack.corrupt(update, rng)

    def _stream(self, client_id: int, attempt: int) -> torch.Generator:
        """A round that is repeated has other random streams: the same would end the same."""
        again = ("attempt", attempt) if attempt else ()
        return keyed_generator(self.seed, "client", client_id, "round", self.round, *again, device=self.device)

    def replace(self, state: State) -> None:
        """Take ``state`` over as it is, and leave the server's optimizer nothing to do."""
        self.generator.load_state_dict(state)
        self.generator.zero_grad(set_to_none=True)

    def propose(self, aggregate: State) -> None:
        """Set the pseudo-gradient G_server - aggregate; what is no parameter is taken over as it is."""
        parameters = dict(self.generator.named_parameters())
        for name, tensor in self.generator.state_dict().items():
            if name in parameters:
                parameters[name].grad = tensor - aggregate[name]
            else:
                tensor.copy_(aggregate[name])

    def steps_of(self, client_id: int) -> int:
        """How many local steps a client takes in a round."""
        return self.epochs_of(client_id) * (len(self.data[client_id]) // self.batch_size)

    def epochs_of(self, client_id: int) -> int:
        """Passes over its images that a client makes in a round; the server, fine-tuning, makes one."""
        return 1 if client_id == self.num_clients else self.local_epochs

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Write the clients' states, those that have changed, and refer to them."""
        self.clients.keep()
        self.trainer.strategy.barrier()
        checkpoint["clients"] = self.clients.index(self.round)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Put the clients back to what they were then."""
        self.clients.rewind(checkpoint["clients"])

    @torch.no_grad()
    def _release(self) -> None:
        if self.released is self.generator:
            return
        # Less is kept in the first rounds, so that the random start does not linger.
        kept = min(self.ema, (1 + self.round) / (10 + self.round))
        current = self.generator.state_dict()
        for name, tensor in self.released.state_dict().items():
            if tensor.is_floating_point():
                tensor.lerp_(current[name], 1.0 - kept)
            else:
                tensor.copy_(current[name])
