"""One process against several, and what the machine's cores can give at most.

python -m experiments.benchmarks workers
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Annotated

from annotated_types import Ge

from experiments.benchmarks.base import Benchmark, Row, paired_ratio, spread
from experiments.benchmarks.clients import Run, end, start
from fedgan.core.arguments import Count, checked


@dataclass(frozen=True)
class Side:
    """How the machine is used.

    Attributes:
        name: what the table calls it.
        processes: over which one federation is spread (``trainer.devices``).
        threads: of each process.
        copies: federations that run at once and know nothing of each other.
    """

    name: str
    processes: int = 1
    threads: int = 1
    copies: int = 1

    def run(self, folder: Path, overrides: Sequence[str]) -> list[Run]:
        """Train every copy, all at once."""
        folders = [Path(f"{folder}_{copy}") for copy in range(self.copies)]
        settings = (*overrides, f"trainer.devices={self.processes}")
        environment = {"OMP_NUM_THREADS": str(self.threads)}
        processes = [start(own, *settings, environment=environment) for own in folders]
        return [end(process, own) for process, own in zip(processes, folders, strict=True)]


@checked
class Workers(Benchmark):
    """How much faster clients train that are spread over processes.

    Args:
        sides: by name, what a ``Side`` takes; the first is what the others are compared with.
        rounds: of each run; the first does not count.
        overrides: of conf/config.yaml, for all runs.
        repeats: runs of each side.
    """

    title = "one federation over processes, next to federations that know nothing of each other"
    goal = "2 processes at 1.4 times the rounds per second of 1 process with 2 threads, and equal generators"

    def __init__(
        self,
        *,
        sides: Mapping[str, Mapping[str, int]],
        rounds: Annotated[int, Ge(2)],
        overrides: Sequence[str],
        repeats: Count = 5,
    ) -> None:
        super().__init__(repeats=repeats)
        self.sides = [Side(str(name), **settings) for name, settings in sides.items()]
        self.rounds, self.overrides = rounds, list(overrides)

    def measure(self, folder: Path) -> list[Row]:
        """One row per side; copies at once count together."""
        runs: list[list[list[Run]]] = [[] for _ in self.sides]  # by side and turn, each of some copies
        for turn in range(self.repeats):
            for i, side in enumerate(self.sides):
                runs[i].append(side.run(folder / f"{i}_{turn}", [*self.overrides, f"fl.rounds={self.rounds}"]))
        return [self._row(side, turns, runs[0]) for side, turns in zip(self.sides, runs, strict=True)]

    def _row(self, side: Side, turns: Sequence[Sequence[Run]], first: Sequence[Sequence[Run]]) -> Row:
        rates = [rounds_per_second(copies) for copies in turns]
        return {
            "side": side.name,
            "rounds/s": median(rates),
            "ratio": paired_ratio(rates, [rounds_per_second(copies) for copies in first]),
            "all rates": spread(rates),
            "generator": " or ".join(sorted({run.generator_sha256[:12] for copies in turns for run in copies})),
        }


def rounds_per_second(copies: Sequence[Run]) -> float:
    """What runs at once have done together."""
    return sum(1 / median(run.seconds) for run in copies)
