"""Divide and conquer (DnC: Shejwalkar, Houmansadr 2021): drops who stands out in the direction of most variance."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from fedgan.core.arguments import Count, component
from fedgan.core.round import Round
from fedgan.core.update import ClientUpdate, State
from fedgan.defenses.robust.gram import Matrix, alike, lowest
from fedgan.defenses.robust.rule import WeightRule, indicator


@component
class DnC(WeightRule):
    """Scores are squared projections on the top singular vector of the centered updates, at coordinates drawn anew.

    In each iteration the f clients with the highest scores are dropped; those whom no iteration drops are kept, or
    where there are none, those who are dropped the least often. **It drops f clients where nobody attacks too.** It
    tolerates fewer than half malicious.

    Args:
        num_malicious: f, at least 1 (the paper's filtering fraction c is 1).
        coordinates: r, how many of the parameters' coordinates are drawn, at least 1; all where there are fewer.
        iterations: at least 1; with k of them up to k f clients are dropped.
    """

    num_malicious: Count = 1
    coordinates: Count = 10_000
    iterations: Count = 1

    def rate(self, updates: Sequence[ClientUpdate], round_: Round) -> list[float]:
        """1 for those who are kept, 0 for the others."""
        states = [update.state for update in updates]
        dropped = np.zeros(len(states))
        for iteration in range(self.iterations):
            rng = round_.rng("defense", "dnc", iteration)
            values = drawn_coordinates(states, round_, self.coordinates, rng)
            if not alike(values @ values.T):
                highest = lowest(-outlier_scores(values), self.num_malicious)
                dropped += indicator(highest, len(states))
        return indicator([int(i) for i in np.flatnonzero(dropped == dropped.min())], len(states))


def drawn_coordinates(states: Sequence[State], round_: Round, count: int, rng: torch.Generator) -> Matrix:
    """The deltas at some coordinates of all parameters, drawn without replacement: float64, (N, count) or fewer."""
    names = sorted(round_.parameters)
    ends = np.cumsum([round_.reference[name].numel() for name in names])
    places = torch.randperm(int(ends[-1]), generator=rng)[:count].sort().values
    columns = []
    for name, end in zip(names, ends, strict=True):
        begin = int(end) - round_.reference[name].numel()
        own = places[(places >= begin) & (places < int(end))] - begin
        columns.append(torch.stack([_at(state[name], own) - _at(round_.reference[name], own) for state in states]))
    found: Matrix = torch.cat(columns, dim=1).numpy()
    return found


def outlier_scores(values: Matrix) -> Matrix:
    """<x_i - mean, u>^2 with u the top right singular vector of the centered rows, (N, C) to (N,).

    It is the top eigenvalue of the centered inner products times the squares of its eigenvector.

    Example:
        >>> x = np.array([[1.0, 0.0], [1.2, 0.1], [0.8, -0.1], [1.0, 0.2], [-3.0, 2.0]])
        >>> outlier_scores(x).round(2).tolist()
        [0.83, 1.1, 0.6, 0.68, 12.67]
    """
    centered = values - values.mean(axis=0)
    eigenvalues, vectors = np.linalg.eigh(centered @ centered.T)
    scores: Matrix = eigenvalues[-1] * vectors[:, -1] ** 2
    return scores


def _at(tensor: Tensor, places: Tensor) -> Tensor:
    return tensor.reshape(-1)[places.to(tensor.device)].double().cpu()
