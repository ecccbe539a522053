"""Clients trained together on one device against one after the other.

python -m experiments.benchmarks vectorized
"""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from statistics import median

import torch

from experiments.benchmarks.base import Benchmark, Row, in_turn, paired_ratio
from experiments.benchmarks.gpu import federation_of, train
from experiments.benchmarks.overhead import configured
from fedgan.core.arguments import Count, checked
from fedgan.core.update import ClientUpdate

ENGINES = ("serial", "vectorized")


@checked
class Vectorized(Benchmark):
    """Where ``fl/backend=vectorized`` wins, and how far its results are from the serial ones.

    Args:
        sizes: numbers of clients.
        models: overrides of conf/config.yaml by the model's name.
        overrides: for all of them.
        steps: local steps of each client in a round.
        repeats: rounds of each engine; what the clients do is measured, not the server.
    """

    title = "clients trained together against one after the other"
    goal = "a gain on a GPU and with small models; results equal but for rounding"

    def __init__(
        self,
        *,
        sizes: Sequence[Count],
        models: Mapping[str, Sequence[str]],
        overrides: Sequence[str],
        steps: Count,
        repeats: Count = 5,
    ) -> None:
        super().__init__(repeats=repeats)
        self.sizes, self.models, self.overrides, self.steps = list(sizes), models, list(overrides), steps
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")

    def measure(self, folder: Path) -> list[Row]:
        """One row per model and size."""
        return [self._row(str(model), size) for model in self.models for size in self.sizes]

    def _row(self, model: str, size: int) -> Row:
        settings = (*self.overrides, *self.models[model], f"fl.num_clients={size}")
        configurations = {engine: configured(*settings, f"fl/backend={engine}") for engine in ENGINES}
        federations = {e: federation_of(cfg, self.steps, self.device) for e, cfg in configurations.items()}
        difference = largest_difference(*(train(each) for each in federations.values()))
        seconds = in_turn({engine: partial(train, each) for engine, each in federations.items()}, self.repeats)
        return {
            "clients": size,
            "model": model,
            **{f"{engine} (s/round)": median(times) for engine, times in seconds.items()},
            "ratio": paired_ratio(seconds["serial"], seconds["vectorized"]),
            "largest difference": difference,
        }


def largest_difference(updates: Sequence[ClientUpdate], others: Sequence[ClientUpdate]) -> float:
    """Between the generators of equal clients: the most that any of their weights differ.

    Example:
        >>> zero, one = (ClientUpdate(0, 8, {"p": torch.full((2,), value)}, {}) for value in (0.0, 1.0))
        >>> largest_difference([zero], [one])
        1.0
    """
    pairs = zip(updates, others, strict=True)
    return max(float((u.state[n] - o.state[n]).abs().max()) for u, o in pairs for n in u.state)
