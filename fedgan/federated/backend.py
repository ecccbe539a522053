"""What a federation expects of the engine that trains a round's clients."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import torch

from fedgan.core.round import Round
from fedgan.core.update import ClientUpdate
from fedgan.federated.faults import Event


class Backend(Protocol):
    """The clients and the engine that trains them; ``fl/backend`` names it.

    Attributes:
        losses: names of the metrics that every update has.
        metrics: names of all metrics that an update may have.
        spreads: whether the clients may live in several processes, with the same result to the bit.
        on_local_step: called after each local step with the client's id.
    """

    losses: tuple[str, ...]
    metrics: tuple[str, ...]
    spreads: bool
    on_local_step: Callable[[int], None]

    def settle(self, device: torch.device, profiler: Any) -> None:
        """Put what this process needs on the device, and let local steps show up in the profile."""

    def train(self, ids: Sequence[int], round_: Round, attempt: int = 0) -> tuple[list[ClientUpdate], list[Event]]:
        """Send the reference out, have these clients train, and collect what can be aggregated.

        Args:
            ids: who takes part.
            round_: the round.
            attempt: how often this round has been tried before; each try has its own random streams.

        Returns:
            Updates in the order of their ids, and what went wrong; in the server's process everyone's, elsewhere none.

        Raises:
            ConnectionError: if another process has ended.
        """

    def put_back(self, ids: Sequence[int]) -> None:
        """Give these clients the state back that they had before ``train``; each process its own."""

    def steps_of(self, client_id: int) -> int:
        """How many local steps a client takes in a round."""

    def images_of(self, client_id: int) -> int:
        """How many images a client's local steps of a round see, repetitions counted."""

    def keep(self) -> None:
        """Write the clients' states that a checkpoint will refer to."""

    def index(self, round_: int) -> dict[int, int]:
        """What a checkpoint refers to: by id, after which round the client's state was written."""

    def rewind(self, index: Mapping[int, int]) -> None:
        """Go back to the states that ``index`` returned."""
