"""Centered clipping (Karimireddy, He, Jaggi 2021): steps towards the clients' updates, none longer than a bound."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fedgan.core.arguments import Count, Positive, component
from fedgan.core.round import Round
from fedgan.core.update import ClientUpdate
from fedgan.defenses.base import Aggregate
from fedgan.defenses.robust.coordinates import plain_mean
from fedgan.defenses.robust.gram import Matrix, gram_matrix
from fedgan.defenses.robust.rule import RobustRule


@component
class CenteredClipping(RobustRule):
    """v becomes v + mean_i clip(delta_i - v), some times; the aggregate is G + v, and v is kept for the next round.

    v starts from 0 in the first round. Every client has the same say; buffers take the mean. No client has a weight.

    Args:
        bound: tau, the length that delta_i - v is clipped to, above 0; None for the median of these lengths, anew at
            each step.
        steps: L, at least 1.
    """

    bound: Positive | None = None
    steps: Count = 1

    def __post_init__(self) -> None:
        self.v: dict[str, Tensor] = {}
        self.clipped: dict[str, float] = {}

    def aggregate(self, updates: Sequence[ClientUpdate], weights: Mapping[int, float], round_: Round) -> Aggregate:
        """See ``Defense``."""
        states = [update.state for update in updates]
        mean, start = plain_mean(states), self._start(round_)
        # All stays in the span of the updates and the start, so inner products are enough.
        gram = gram_matrix([*states, round_.moved(start, mean)], round_)
        b, bound, clipped = centered_steps(gram, self.bound, self.steps)
        self.clipped = {"bound": bound, "clipped": float(clipped)}
        self.v = {
            name: combination([*(s[name] - round_.reference[name] for s in states), v], b) for name, v in start.items()
        }
        moved = round_.moved(self.v, mean)
        return Aggregate({name: moved[name].to(tensor) for name, tensor in mean.items()}, weights=None)

    def _start(self, round_: Round) -> dict[str, Tensor]:
        """v of the last round in float64; 0 at first."""
        sent = {name: t.double() for name, t in round_.reference.items() if name in round_.parameters}
        return {name: self.v[name].to(t) if self.v else torch.zeros_like(t) for name, t in sent.items()}

    def receipt(self) -> Mapping[str, float]:
        """Of the last step, ``bound``: tau; ``clipped``: how many clients were farther from v."""
        return self.clipped

    def state_dict(self) -> dict[str, Any]:
        """v."""
        return {"v": dict(self.v)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore v."""
        self.v = dict(state["v"])


def centered_steps(gram: Matrix, bound: float | None, steps: int) -> tuple[Matrix, float, int]:
    """What v is made of after some steps.

    Args:
        gram: inner products of the N updates and, last, of the v to start from, (N + 1, N + 1).
        bound: tau; None for the median of |delta_i - v|.
        steps: L.

    Returns:
        The coefficients of v in the updates and the start, (N + 1,); the last step's bound; how many it clipped.

    Example:
        >>> x = np.array([0.5, 1.0, 100.0, 0.0])
        >>> [round(float(centered_steps(np.outer(x, x), 1.0, n)[0] @ x), 4) for n in (1, 2, 3)]
        [0.8333, 1.1111, 1.2037]
    """
    count = len(gram) - 1
    b = np.eye(count + 1)[-1]
    for _ in range(steps):
        squared = np.diag(gram) - 2.0 * gram @ b + b @ gram @ b
        distance = np.sqrt(np.maximum(squared[:count], 0.0))
        tau = float(np.median(distance)) if bound is None else bound
        scale = np.minimum(1.0, np.divide(tau, distance, out=np.ones(count), where=distance > 0)) / count
        b = b * (1.0 - scale.sum()) + np.append(scale, 0.0)
    return b, tau, int((distance > tau).sum())


def combination(tensors: Sequence[Tensor], coefficients: Matrix) -> Tensor:
    """sum_i b_i t_i in float64."""
    return sum((t.double() * float(b) for t, b in zip(tensors, coefficients, strict=True)), torch.zeros(()).double())
