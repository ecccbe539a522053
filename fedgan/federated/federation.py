"""The round: one Trainer, an epoch is a round, its batch is the ids of the clients that take part."""

import copy
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

import torch
from annotated_types import Interval
from pytorch_lightning import LightningModule
from pytorch_lightning.profilers import PassThroughProfiler, Profiler
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from fedgan.core.arguments import validated
from fedgan.core.images import to_uint8
from fedgan.core.optimizers import OptimizerFactory
from fedgan.core.rng import keyed_generator
from fedgan.core.round import Round
from fedgan.core.update import ClientUpdate, State
from fedgan.federated import messages
from fedgan.federated.attackers import Attackers
from fedgan.federated.backend import Backend
from fedgan.federated.faults import DIVERGING, Event, Tolerance, fault_of
from fedgan.federated.rendering import GeneratorRenderer
from fedgan.models.base import Generator


class Participants(Dataset[list[int]]):
    """Who takes part: one item, drawn by ``draw`` when it is read."""

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


class Federation(LightningModule):
    """ClientPool and the global generator; the server (a callback) turns their updates into its step.

    Args:
        backend: trains the clients, and with ``fine_tuning_start`` the server's own behind them.
        attackers: the malicious clients.
        generator: G_server at round 0.
        server_optimizer: makes the optimizer that follows the pseudo-gradient G_server - sum_i w_i G_i;
            SGD with learning rate 1 is FedAvg (Reddi et al. 2021).
        num_clients: N, without the server's own.
        num_classes: of the images.
        image_size: of the images in px; None where nobody knows it.
        clients_per_round: how many take part in a round; None for all.
        tolerance: how many clients a round may lose.
        fine_tuning_start: the first of the rounds, after the federation's, in which the server trains the released
            generator alone, as a client would; None for none.
        server_trains: whether it also trains in each round of the federation, on a client's terms (``Round.root``).
        ema: how much of itself the released generator keeps in round t, min(ema, (1 + t) / (10 + t)), in
            [0, 1); 0 releases G_server.
        seed: of every random stream.
    """

    def __init__(
        self,
        *,
        backend: Backend,
        attackers: Attackers,
        generator: Generator,
        server_optimizer: OptimizerFactory,
        tolerance: Tolerance,
        num_clients: int,
        num_classes: int,
        image_size: int | None = None,
        clients_per_round: int | None = None,
        fine_tuning_start: int | None = None,
        server_trains: bool = False,
        ema: float = 0.0,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.backend, self.generator, self.z_dim = backend, generator, generator.z_dim
        self.released = copy.deepcopy(generator) if ema else generator
        self.server_optimizer, self.fine_tuning_start = server_optimizer, fine_tuning_start
        self.server_trains = server_trains
        self.attackers, self.tolerance, self.num_clients = attackers, tolerance, num_clients
        self.renderer = GeneratorRenderer(generator, num_classes, image_size)
        self.clients_per_round = self.num_clients if clients_per_round is None else clients_per_round
        self.ema, self.seed = ema, seed
        validated("fl.server_optimizer", OptimizerFactory, server_optimizer)
        validated("fl.clients_per_round", Annotated[int, Interval(ge=1, le=num_clients)], self.clients_per_round)
        validated("fl.min_clients", Annotated[int, Interval(ge=1, le=self.clients_per_round)], tolerance.min_clients)
        self.parameter_names = frozenset(name for name, _ in generator.named_parameters())
        self.updates: list[ClientUpdate] = []
        self.restored: State | None = None  # what is released after this round instead of its own
        self.root: ClientUpdate | None = None  # the server's own of this round
        self.events: list[Event] = []  # what went wrong in this round
        self.profiler: Profiler = PassThroughProfiler()
        self.seconds = 0.0

    @property
    def round(self) -> int:
        """t, counted from 0 as in Algorithm 1."""
        return int(self.current_epoch)

    @property
    def fine_tunes(self) -> bool:
        """Whether this round is the server's own."""
        return self.fine_tuning_start is not None and self.round >= self.fine_tuning_start

    @property
    def fine_tuning_rounds(self) -> int:
        """How many of its own rounds the server has begun."""
        return 0 if self.fine_tuning_start is None else max(0, self.round - self.fine_tuning_start)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """The server's optimizer, over the global generator alone; clients keep their own."""
        return self.server_optimizer(self.generator.parameters())

    def train_dataloader(self) -> DataLoader[list[int]]:
        """One batch per round: the ids of the clients that take part."""
        return DataLoader(Participants(self.participants), batch_size=None)

    def participants(self) -> list[int]:
        """The ids of the clients that take part in this round, and of the server's own client, when it trains."""
        if self.fine_tunes:
            return [self.num_clients]
        drawn = draw_participants(self.num_clients, self.clients_per_round, self.seed, self.round)
        return [*drawn, self.num_clients] if self.server_trains else drawn

    def on_fit_start(self) -> None:
        """Put clients and images on the device, and let the clients' steps show up in the profile."""
        self.profiler = self.trainer.profiler  # type: ignore[attr-defined]
        self.backend.settle(self.device, self.profiler)

    def training_step(self, batch: list[int], batch_idx: int) -> None:
        """One round: every participant trains from G_server, then the server steps.

        The server acts in its ``on_before_optimizer_step``, where it turns ``updates`` into the
        pseudo-gradient by calling ``propose``.
        """
        start = time.perf_counter()
        if self.round == self.fine_tuning_start:
            # It is the released one that is fine-tuned: that of the first process, which alone knows of ``set_back``.
            self.generator.load_state_dict(messages.share_state(self.released.state_dict()))
        self.root = None
        self.updates = self.collect(batch, self.this_round())
        with self.profiler.profile("server"):
            self.optimizers().step()  # type: ignore[union-attr]
            if messages.size() > 1:
                self.generator.load_state_dict(messages.share_state(self.generator.state_dict()))
            self._release()
        self.seconds = time.perf_counter() - start

    def this_round(self) -> Round:
        """What defenses and update attacks see of it."""
        reference = {name: tensor.detach() for name, tensor in self.generator.state_dict().items()}
        root = None if self.root is None else self.root.state
        return Round(self.round, reference, self.parameter_names, self.num_clients, self.seed, root, self.renderer)

    def collect(self, ids: Sequence[int], round_: Round) -> list[ClientUpdate]:
        """The updates of a round that can be aggregated; a round that loses too many is repeated.

        Raises:
            ValueError: if it does so too often; the run stops, its last checkpoint is the round before.
            ConnectionError: if another process has ended.
        """
        self.events, needed = [], 1 if self.fine_tunes else self.tolerance.min_clients
        wants_root = self.server_trains and not self.fine_tunes
        for attempt in range(self.tolerance.max_retries + 1):
            trained, events = self.backend.train(ids, round_, attempt)
            self.root, trained = self._split_root(trained)
            sent = self.attackers.alter(trained, round_)
            updates, spoiled = _usable(trained, sent, round_)
            events += spoiled
            self.events += events
            count, lacks_root = messages.share_fact([len(updates), wants_root and self.root is None])
            if count >= needed and not lacks_root:
                self.events += _diverging(round_, updates, self.backend.losses)
                return updates
            self.backend.put_back(ids)
            found = f"{count} of {len(ids) - wants_root} updates can be used, fl.min_clients={needed}"
            found += ", and the server's own cannot" if lacks_root else ""
            again = attempt < self.tolerance.max_retries
            action = "the round is repeated" if again else "the run stops"
            self.events.append(Event(round_.index, None, "too_few_clients", found, action))
        why = "; ".join(str(event) for event in events)
        raise ValueError(f"round {round_.index} was tried {attempt + 1} times and given up: {found} ({why})")

    def _split_root(self, trained: Sequence[ClientUpdate]) -> tuple[ClientUpdate | None, list[ClientUpdate]]:
        """The server's own update, and the clients'; in a round of fine-tuning it counts as a client's."""
        if self.fine_tunes:
            return None, list(trained)
        own = next((update for update in trained if update.client_id == self.num_clients), None)
        return own, [update for update in trained if update is not own]

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor | None:
        """The released generator's images for (latents, labels), as bytes; in the server's process alone."""
        if messages.rank():
            return None
        z, labels = batch
        return to_uint8(self.released(z, labels))

    def replace(self, state: State) -> None:
        """Take ``state`` over as it is, and leave the server's optimizer nothing to do."""
        self.generator.load_state_dict(state)
        self.generator.zero_grad(set_to_none=True)

    def snapshot(self) -> dict[str, State]:
        """Copies of G_server and of the released generator, on the CPU (one without ``ema``); see ``set_back``."""
        generator = _copied(self.generator)
        released = generator if self.released is self.generator else _copied(self.released)
        return {"generator": generator, "released": released}

    def set_back(self, snapshot: Mapping[str, State]) -> None:
        """Take over, at the end of this round, what ``snapshot`` has returned in an earlier one."""
        self.replace(snapshot["generator"])
        self.restored = snapshot["released"]

    def propose(self, aggregate: State) -> None:
        """Set the pseudo-gradient G_server - aggregate; buffers are copied as they are."""
        parameters = dict(self.generator.named_parameters())
        for name, tensor in self.generator.state_dict().items():
            if name in parameters:
                parameters[name].grad = tensor - aggregate[name]
            else:
                tensor.copy_(aggregate[name])

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Write the clients' states, those that have changed, and refer to them; and what the attackers remember."""
        self.backend.keep()
        self.trainer.strategy.barrier()
        checkpoint["clients"] = self.backend.index(self.round)
        checkpoint["attackers"] = self.attackers.state_dict()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Put the clients and the attackers back to what they were then."""
        self.backend.rewind(checkpoint["clients"])
        if "attackers" in checkpoint:  # not in those of a version whose attacks had no memory
            self.attackers.load_state_dict(checkpoint["attackers"])

    @torch.no_grad()
    def _release(self) -> None:
        restored, self.restored = self.restored, None
        if self.released is self.generator:
            return
        if restored is not None:
            self.released.load_state_dict(restored)
            return
        # Less is kept in the first rounds, so that the random start does not linger.
        kept = min(self.ema, (1 + self.round) / (10 + self.round))
        current = self.generator.state_dict()
        for name, tensor in self.released.state_dict().items():
            if tensor.is_floating_point():
                tensor.lerp_(current[name], 1.0 - kept)
            else:
                tensor.copy_(current[name])


def _copied(network: torch.nn.Module) -> State:
    return {name: tensor.detach().to("cpu", copy=True) for name, tensor in network.state_dict().items()}


def _usable(
    trained: Sequence[ClientUpdate], sent: Sequence[ClientUpdate], round_: Round
) -> tuple[list[ClientUpdate], list[Event]]:
    """The updates that can be aggregated; those that an attacker has altered beyond use are left out, with an event."""
    usable, events = [], []
    for before, update in zip(trained, sent, strict=True):
        fault = None if update is before else fault_of(update, round_.reference)  # the others' were looked for
        if fault is None:
            usable.append(update)
        else:
            events.append(Event(round_.index, update.client_id, "bad_update", fault, "left out of this round"))
    return usable, events


def _diverging(round_: Round, updates: Sequence[ClientUpdate], losses: Sequence[str]) -> list[Event]:
    values = [(update.client_id, name, update.metrics[name]) for update in updates for name in losses]
    return [
        Event(round_.index, client_id, "diverging", f"{name} is {value:.4g}", "training continues")
        for client_id, name, value in values
        if abs(value) > DIVERGING
    ]
