"""Updates made of a few numbers, for rules that act on them."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from fedgan.core.round import Round
from fedgan.core.update import ClientUpdate, State
from fedgan.defenses.base import Decision, Defense
from fedgan.federated.server import Server
from fedgan.federated.weighting import NumExamples

PARAMETERS = frozenset({"const", "noise_strength"})  # names without "weight" or "bias", as StyleGAN2 has
TOY = [[0.0, 0.0], [1.0, 0.0], [0.0, 2.0], [1.0, 1.0], [10.0, 10.0]]


def round_of(num_clients: int, size: int = 2, *, origin: float = 0.0, index: int = 0) -> Round:
    """A round whose generator has ``size`` parameters of the value ``origin`` in two tensors, and two buffers."""
    return Round(index, state_of(np.full(size, origin), 1.0, 0), PARAMETERS, num_clients)


def state_of(parameters: NDArray[np.float64], variance: float, count: int) -> dict[str, torch.Tensor]:
    """A state in float64: the first parameter, the others, a running variance, a counter."""
    values = torch.from_numpy(np.asarray(parameters, dtype=np.float64))
    buffers = {"noise_const": torch.tensor([variance]).double(), "num_batches_tracked": torch.tensor(count)}
    return {"const": values[:1].clone(), "noise_strength": values[1:].reshape(-1, 1).clone(), **buffers}


def updates_of(
    deltas: ArrayLike,
    *,
    origin: float = 0.0,
    ids: Sequence[int] | None = None,
    variances: Sequence[float] | None = None,
    counts: Sequence[int] | None = None,
) -> list[ClientUpdate]:
    """One per row of deltas. The last client states a million images, so that a rule that believes it is found out."""
    rows = np.asarray(deltas, dtype=np.float64)
    images = [10] * (len(rows) - 1) + [1_000_000]
    of = (ids or range(len(rows)), images, rows, variances or [1.0] * len(rows), counts or [0] * len(rows))
    return [ClientUpdate(i, n, state_of(row + origin, v, c), {}) for i, n, row, v, c in zip(*of, strict=True)]


def parameters_of(state: State) -> NDArray[np.float64]:
    """The parameters in a row."""
    return np.concatenate([state["const"].numpy(), state["noise_strength"].numpy().ravel()]).astype(np.float64)


def served(defense: Defense, updates: Sequence[ClientUpdate], round_: Round) -> tuple[State, Decision]:
    """A round at the server under the weights n_k / n that are the default."""
    return Server({"rule": defense}, NumExamples()).serve(updates, round_)


def step(defense: Defense, deltas: ArrayLike) -> NDArray[np.float64]:
    """What the aggregate adds to the generator that was sent out."""
    rows = np.asarray(deltas, dtype=np.float64)
    return parameters_of(served(defense, updates_of(rows), round_of(*rows.shape))[0])
