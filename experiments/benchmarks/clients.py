"""Ten, a hundred and a thousand clients of which equally many take part: what a round costs in time, memory and disk.

python -m experiments.benchmarks clients
"""

import csv
import json
import os
import resource
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Annotated, Any

from annotated_types import Ge, Interval, MinLen

from experiments.benchmarks.base import Benchmark, Row, paired_ratio
from fedgan.core.arguments import Count, checked, validated
from fedgan.core.checks import check

BLOCK = 512  # bytes; what ru_oublock counts in on Linux
PARTS_OF_A_ROUND = ("run_training_epoch", ".on_train_epoch_start", ".on_train_epoch_end")  # as Lightning profiles it


@dataclass(frozen=True)
class Run:
    """A finished run of ``python -m fedgan.train``.

    Attributes:
        folder: its own.
        written: bytes that it wrote to the disk, the start and the end included.
    """

    folder: Path
    written: int

    @property
    def seconds(self) -> list[float]:
        """Of each round but the first, which warms up: clients and server, as timing.csv has them."""
        rows = csv.DictReader((self.folder / "timing.csv").read_text().splitlines())
        return [float(row["seconds"]) for row in rows][1:]

    @property
    def whole_seconds(self) -> list[float]:
        """Of each round but the first and the last, which is evaluated: with records and checkpoint, if profiled."""
        durations = self._json("profile.json")
        parts = [seconds for action, seconds in durations.items() if action.endswith(PARTS_OF_A_ROUND)]
        return [sum(seconds) for seconds in zip(*parts, strict=True)][1:-1]

    @property
    def peak_memory(self) -> int:
        """Bytes: the largest resident set of the process."""
        return int(self._json("run.json")["peak_memory_bytes"]["host"])

    @property
    def checkpoint_bytes(self) -> int:
        """What is in the checkpoints' folder at the end."""
        return sum(file.stat().st_size for file in (self.folder / "checkpoints").rglob("*") if file.is_file())

    @property
    def generator_sha256(self) -> str:
        """The hash of the final generator."""
        return str(self._json("summary.json")["generator_sha256"])

    def _json(self, name: str) -> dict[str, Any]:
        content: dict[str, Any] = json.loads((self.folder / name).read_text())
        return content


def start(folder: Path, *overrides: str, environment: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
    """Start the command that a user would type, in its own process.

    Args:
        folder: the run's.
        overrides: what is typed.
        environment: variables besides those of this process.
    """
    command = [sys.executable, "-m", "fedgan.train", *overrides, f"hydra.run.dir={folder}"]
    return subprocess.Popen(command, env={**os.environ, **(environment or {})}, stdout=subprocess.DEVNULL)


def end(process: subprocess.Popen[bytes], folder: Path) -> Run:
    """Wait for a run; one that fails, and has said why, ends the benchmark."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_oublock  # counts those that were waited for
    if process.wait():
        sys.exit(process.returncode)
    return Run(folder, (resource.getrusage(resource.RUSAGE_CHILDREN).ru_oublock - before) * BLOCK)


@checked
class ClientPool(Benchmark):
    """Whether a round's cost grows with the clients that there are, or with those that take part.

    Args:
        sizes: numbers of clients, the first of which the others are compared with.
        taking_part: how many take part in a round.
        batch_size: images of a client: one local step per round.
        rounds: of each run; the first and the last do not count.
        overrides: of conf/config.yaml, for all runs.
        repeats: runs of each size.
    """

    title = "a round with equally many participants of ever more clients"
    goal = "1,000 clients within 1.2 times the time and 1.5 times the memory of 10"

    def __init__(
        self,
        *,
        sizes: Annotated[Sequence[Count], MinLen(1)],
        taking_part: int,
        batch_size: Count,
        rounds: Annotated[int, Ge(3)],
        overrides: Sequence[str],
        repeats: Count = 5,
    ) -> None:
        super().__init__(repeats=repeats)
        validated("taking_part", Annotated[int, Interval(ge=1, le=min(sizes))], taking_part)
        check(batch_size % 2 == 0, "batch_size", "even, for the images are of two classes", batch_size)
        self.sizes, self.taking_part, self.batch_size, self.rounds = list(sizes), taking_part, batch_size, rounds
        self.overrides = list(overrides)

    def measure(self, folder: Path) -> list[Row]:
        """One row per size: seconds and bytes written are per round, memory and checkpoints per run."""
        runs: dict[int, list[Run]] = {size: [] for size in self.sizes}
        for turn in range(self.repeats):
            for size in self.sizes:
                runs[size].append(self._run(folder / f"{size}_{turn}", size))
        return [self._row(size, runs[size], runs[self.sizes[0]]) for size in self.sizes]

    def _run(self, folder: Path, size: int) -> Run:
        profiler = "{_target_: experiments.round_split.JsonProfiler, path: " + str(folder / "profile.json") + "}"
        process = start(
            folder,
            *self.overrides,
            f"trainer.profiler={profiler}",
            f"fl.num_clients={size}",
            f"fl.clients_per_round={self.taking_part}",
            f"fl.batch_size={self.batch_size}",
            f"dataset.train_per_class={size * self.batch_size // 2}",
            f"fl.rounds={self.rounds}",
        )
        return end(process, folder)

    def _row(self, size: int, runs: Sequence[Run], fewest: Sequence[Run]) -> Row:
        whole, whole_of_fewest = ([median(run.whole_seconds) for run in side] for side in (runs, fewest))
        memory, memory_of_fewest = ([run.peak_memory for run in side] for side in (runs, fewest))
        return {
            "clients": size,
            "training (s)": median(median(run.seconds) for run in runs),
            "round (s)": median(whole),
            "time ratio": paired_ratio(whole, whole_of_fewest),
            "memory (MB)": median(memory) / 1e6,
            "memory ratio": paired_ratio(memory, memory_of_fewest),
            "checkpoints (MB)": median(run.checkpoint_bytes for run in runs) / 1e6,
            "written (MB)": median(run.written for run in runs) / self.rounds / 1e6,
        }
