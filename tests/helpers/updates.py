"""Updates of a few coordinates, around a reference that is not zero."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from fedgan.core.round import Round
from fedgan.core.update import ClientUpdate

BASE = 1.0  # of each parameter of the reference: a rule that takes the state for the delta is off by it
TRAINED_VARIANCE = 0.9  # of the buffer, after training


def around(*, width: int = 2, index: int = 0, num_clients: int = 4, base: float = BASE) -> Round:
    """A round whose parameters are ``first``, one coordinate, and ``rest``, the others."""
    reference = {
        "first": torch.full((1,), base, dtype=torch.float64),
        "rest": torch.full((width - 1,), base, dtype=torch.float64),
        "norm.running_var": torch.ones(1, dtype=torch.float64),
    }
    return Round(index, reference, frozenset({"first", "rest"}), num_clients=num_clients, seed=3)


def client(
    client_id: int, delta: Sequence[float], round_: Round, metrics: Mapping[str, float] | None = None
) -> ClientUpdate:
    """A client that has moved by ``delta``."""
    values = torch.tensor(delta, dtype=torch.float64)
    moved = {"first": values[:1], "rest": values[1:]}
    buffers = {"norm.running_var": torch.full((1,), TRAINED_VARIANCE, dtype=torch.float64)}
    return ClientUpdate(client_id, 8, round_.moved(moved, buffers), metrics or {})


def delta_of(update: ClientUpdate, round_: Round) -> Tensor:
    """How an update moves the reference, (width,); its buffer must be as it was trained."""
    assert update.state["norm.running_var"].item() == TRAINED_VARIANCE
    delta = round_.delta(update.state)
    return torch.cat([delta["first"], delta["rest"]])
