"""What the benchmarks share: two sides measured in turn, medians, one table, one CSV."""

import csv
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import torch
from rich.table import Table

from fedgan.config.screen import screen
from fedgan.core.arguments import Count, checked

Row = dict[str, Any]


@checked
class Benchmark(ABC):
    """One question about speed, answered within one run.

    Args:
        repeats: how often each side is measured; medians are shown.

    Attributes:
        title: of the table.
        goal: what was aimed at, in words.
    """

    title: str
    goal: str

    def __init__(self, *, repeats: Count = 5) -> None:
        self.repeats = repeats

    @abstractmethod
    def measure(self, folder: Path) -> Sequence[Row]:
        """The table's rows, all with the same columns; ``folder`` is the benchmark's own, for whatever it writes."""


def in_turn(sides: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, list[float]]:
    """Seconds of each side, measured one after the other and then again: what slows the machine slows them all.

    Each side runs once before anything is counted.

    Example:
        >>> seconds = in_turn({"a": lambda: None, "b": lambda: None}, repeats=3)
        >>> {name: len(times) for name, times in seconds.items()}
        {'a': 3, 'b': 3}
    """
    for side in sides.values():
        side()
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(repeats):
        for name, side in sides.items():
            seconds[name].append(timed(side))
    return seconds


def timed(work: Callable[[], object]) -> float:
    """Seconds that ``work`` takes, its kernels on a GPU included."""
    synchronize()
    start = time.perf_counter()
    work()
    synchronize()
    return time.perf_counter() - start


def synchronize() -> None:
    """Wait for the GPU, if there is one."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def paired_ratio(one: Sequence[float], other: Sequence[float]) -> float:
    """The median over the pairs of ``one`` / ``other``: neighbors in time share the machine's mood.

    Example:
        >>> paired_ratio([2.0, 20.0, 4.0], [1.0, 10.0, 1.0])
        2.0
    """
    return median(first / second for first, second in zip(one, other, strict=True))


def spread(values: Sequence[float]) -> str:
    """The smallest and the largest.

    Example:
        >>> spread([1.0, 3.0, 2.0])
        '1 to 3'
    """
    return f"{min(values):.3g} to {max(values):.3g}"


def report(benchmark: Benchmark, rows: Sequence[Row], file: Path) -> None:
    """Print the table and write it to ``file`` as CSV."""
    columns = list(rows[0])
    cells = [[f"{value:.4g}" if isinstance(value, float) else str(value) for value in row.values()] for row in rows]
    with file.open("w", newline="") as stream:
        csv.writer(stream, lineterminator="\n").writerows([columns, *cells])
    table = Table(title=benchmark.title, caption=f"goal: {benchmark.goal}")
    for column in columns:
        table.add_column(column, justify="left" if isinstance(rows[0][column], str) else "right")
    for row in cells:
        table.add_row(*row)
    screen().print(table)
