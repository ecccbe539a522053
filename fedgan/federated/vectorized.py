"""Clients trained together: a local step of all of them at once, for small models and GPUs (docs/performance.md)."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Annotated, Any

from fedgan.core.arguments import Allowed, validated
from fedgan.core.round import Round
from fedgan.core.update import ClientUpdate
from fedgan.federated.attackers import reported
from fedgan.federated.serial import SerialBackend

NoTimeout = Annotated[None, Allowed("null with fl/backend=vectorized, where no client has its own time")]


class VectorizedBackend(SerialBackend):
    """A ``Backend`` that trains the clients of a round together, equal to ``SerialBackend`` but for rounding.

    If one of them raises, all are put back and trained one after the other. Clients that have fewer images than a
    batch are trained with those of the same batch size.
    """

    spreads = False  # stacked clients' sums depend on how many there are

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        validated("fl.straggler_timeout", NoTimeout, self.tolerance.straggler_timeout)
        self.algorithm.check_together()

    def groups(self, ids: Sequence[int]) -> list[list[int]]:
        """All clients of one batch size."""
        groups: dict[int, list[int]] = defaultdict(list)
        for i in ids:
            groups[self.batch_of(i)].append(i)
        return list(groups.values())

    def train_clients(self, ids: Sequence[int], round_: Round, attempt: int = 0) -> list[ClientUpdate]:
        """A client alone is trained as by ``SerialBackend``."""
        if len(ids) < 2:
            return super().train_clients(ids, round_, attempt)
        clients = [self._sent_out(i, round_) for i in ids]
        arrivals = [self._arrival(i, round_) for i in ids]
        with self._with_added_losses(ids, round_, attempt) as reporters:
            metrics = self.algorithm.train_together(
                clients,
                [self.data[i].at(round_.index) for i in ids],
                epochs=self.local.local_epochs,
                batch_size=self.batch_of(ids[0]),
                rngs=[self._stream(i, round_, attempt) for i in ids],
                on_step=lambda place: self.on_local_step(ids[place]),
            )
        each = zip(ids, metrics, arrivals, strict=True)
        return [self._sent_back(i, own | reported(reporters[i]) | at, round_, attempt) for i, own, at in each]
