"""What the federation knows of local training: a client trains a generator and says how it went."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from pytorch_lightning.profilers import Profiler

from fedgan.core.added_loss import AddedLoss
from fedgan.core.arguments import Count, checked
from fedgan.core.images import ImageSet
from fedgan.models.base import Generator

Snapshot = dict[str, Any]


@checked
@dataclass(frozen=True)
class LocalSettings:
    """How long clients train in a round.

    Attributes:
        local_epochs: passes over its images that a client makes, at least 1.
        batch_size: images a local step, at least 1; a client that has fewer takes all it has.

    Raises:
        ValueError: if one is out of range.
    """

    local_epochs: Count = 1
    batch_size: Count = 32


class Reporter(Protocol):
    """What a malicious client's generator learned besides."""

    def report(self) -> Mapping[str, float]:
        """What it did; ``steps`` is in how many local steps it changed a gradient, absent where it only measures."""


class Client(Protocol):
    """One client: its copy of the global generator, and what never leaves it."""

    generator: Generator
    profiler: Profiler

    def to(self, device: torch.device) -> Any:
        """Move to a device."""

    def train_locally(
        self,
        data: ImageSet,
        *,
        epochs: int,
        batch_size: int,
        rng: torch.Generator,
        on_step: Callable[[], None] = ...,
    ) -> dict[str, float]:
        """One local round; the metrics that every round has."""

    def measure(self, data: ImageSet, *, batch_size: int, rng: torch.Generator) -> dict[str, float]:
        """Metrics of the networks as they are after the local round; they stay as they are."""

    def measure_arrival(self, *, num_classes: int, batch_size: int, rng: torch.Generator) -> dict[str, float]:
        """Metrics of the generator that the server sent, before the local round; ``rng`` is that of all clients."""

    def with_added_loss(
        self, loss: AddedLoss, num_classes: int, rng: torch.Generator
    ) -> AbstractContextManager[Reporter]:
        """As long as the context lasts the client's generator learns this besides; for malicious clients."""

    def lasting_state(self) -> Snapshot:
        """What is kept from round to round; no copy."""

    def snapshot(self) -> Snapshot:
        """A copy of ``lasting_state``."""

    def restore(self, snapshot: Snapshot) -> None:
        """Go back to a snapshot."""


class LocalAlgorithm(Protocol):
    """What clients do between two messages of the server.

    Attributes:
        generator: the global model at round 0.
        losses: names of the metrics whose mean over clients is shown for each round.
        metrics: names of all metrics that a client reports, ``losses`` first; some may be absent from an update.
        ema: how much of itself the released generator keeps in a round, in [0, 1).
    """

    generator: Generator
    losses: tuple[str, ...]
    metrics: tuple[str, ...]
    ema: float

    def check_together(self) -> None:
        """Refuse settings with which ``train_together`` cannot be used."""

    def defend(self, adaptations: Sequence[Callable[[Any], Any]], transform_batch: Callable[..., Any]) -> None:
        """Take what defenses change in local training, before the first client is made."""

    def client(self) -> Client:
        """A client as it is before its first round; all are equal."""

    def train_together(
        self,
        clients: Sequence[Any],
        data: Sequence[ImageSet],
        *,
        epochs: int,
        batch_size: int,
        rngs: Sequence[torch.Generator],
        on_step: Callable[[int], None],
    ) -> list[dict[str, float]]:
        """``Client.train_locally`` of several clients at once, equal but for rounding."""
