"""A federation simulated on this machine, and the same over Flower on loopback: seconds per round and memory.

python -m experiments.benchmarks flower
"""

import contextlib
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Annotated, Any

from annotated_types import Ge

from experiments.benchmarks.base import Benchmark, Row, paired_ratio, spread
from experiments.benchmarks.clients import Run
from experiments.benchmarks.loopback import Loopback, family
from fedgan.core.arguments import Count, checked
from fedgan.core.images import Splits
from fedgan.datasets.chest_phantom import ChestPhantom
from fedgan.federated.data import shares_of
from fedgan.partitions.iid import IID

PAUSE = 0.5  # seconds between two looks at the memory
SIMULATION, FLOWER = "simulation", "Flower"


class Share:
    """A site's data set: what a client of a simulation with seed 0 and ``partition=iid`` gets of a phantom.

    Args:
        client: its id.
        clients: how many there are.
        phantom: see ``ChestPhantom``.
    """

    def __init__(self, *, client: int, clients: int, **phantom: Any) -> None:
        self.client, self.clients, self.phantom = client, clients, ChestPhantom(**phantom)

    def load(self) -> Splits:
        """The images."""
        splits = self.phantom.load()
        return Splits("share", shares_of(splits.train, IID(), self.clients, seed=0)[self.client], splits.test)


@dataclass(frozen=True)
class Turn:
    """One run of one side.

    Attributes:
        seconds: of each round but the first.
        memory: bytes; the largest sum over its processes at one time, shared pages counted once.
        processes: the largest number of them at one time.
        generator: the hash of the final one.
    """

    seconds: Sequence[float]
    memory: int
    processes: int
    generator: str


@checked
class Flower(Benchmark):
    """What it costs that clients are elsewhere, where the images, the arithmetic and the result are the same.

    Args:
        clients: of the run, each a site; the simulation has two processes.
        phantom: the data set's settings.
        rounds: of each run; the first does not count.
        overrides: of conf/config.yaml, for all runs.
        repeats: runs of each side.
    """

    title = "a federation in two processes, and the same over Flower on this machine"
    goal = "equal generators; the fixed cost of a round over Flower is known"

    def __init__(
        self,
        *,
        clients: Count,
        phantom: dict[str, int],
        rounds: Annotated[int, Ge(2)],
        overrides: Sequence[str],
        repeats: Count = 3,
    ) -> None:
        super().__init__(repeats=repeats)
        self.clients, self.phantom, self.rounds = clients, phantom, rounds
        self.overrides = [*overrides, f"fl.num_clients={clients}", f"fl.rounds={rounds}"]

    def measure(self, folder: Path) -> list[Row]:
        """One row per side; the SuperLink and its SuperNodes are idle while the simulation runs."""
        turns: dict[str, list[Turn]] = {SIMULATION: [], FLOWER: []}
        with Loopback(folder / "loopback") as flower:
            keys = {client: flower.key(f"site{client}") for client in range(self.clients)}
            for client in keys:
                flower.register(f"site{client}")
                flower.node(f"site{client}", self._site(folder, client))
            idle = list(flower.processes)
            for turn in range(self.repeats):
                places = {side: folder / f"{side.lower()}_{turn}" for side in turns}
                turns[SIMULATION].append(watched(self._simulation(flower, places[SIMULATION]), [], places[SIMULATION]))
                over_flower = flower.run(places[FLOWER], keys, *self.overrides)
                turns[FLOWER].append(watched(over_flower, idle, places[FLOWER]))
        return [row(side, own, turns[SIMULATION]) for side, own in turns.items()]

    def _site(self, folder: Path, client: int) -> str:
        kind = f"dataset=chest_phantom dataset._target_={Share.__module__}.{Share.__qualname__}"
        own = " ".join(f"dataset.{name}={value}" for name, value in self.phantom.items())
        return f"{kind} {own} +dataset.client={client} +dataset.clients={self.clients} folder={folder}/site{client}"

    def _simulation(self, flower: Loopback, folder: Path) -> subprocess.Popen[bytes]:
        own = ["dataset=chest_phantom", *(f"dataset.{name}={value}" for name, value in self.phantom.items())]
        settings = [*self.overrides, *own, "trainer.devices=2", f"hydra.run.dir={folder}"]
        return flower.start(folder.name, sys.executable, "-m", "fedgan.train", *settings)


def watched(process: subprocess.Popen[bytes], others: Sequence[subprocess.Popen[bytes]], folder: Path) -> Turn:
    """Wait for a run's process, and look at its memory and the others' meanwhile."""
    sizes = [[0]]
    while process.poll() is None:
        sizes.append(memory_of({each.pid for each in (process, *others)}))
        time.sleep(PAUSE)
    if not (folder / "summary.json").is_file():
        sys.exit(f"error: the run in {folder} failed: see the logs in {folder.parent / 'loopback'}")
    run = Run(folder, written=0)
    return Turn(run.seconds, max(map(sum, sizes)), max(map(len, sizes)), run.generator_sha256)


def memory_of(roots: set[int]) -> list[int]:
    """Bytes of each of these processes and of all that they have started, by Linux's proportional set size.

    A page that n processes share counts 1/n for each.
    """
    found = []
    for pid in family(roots):
        with contextlib.suppress(OSError):  # one that has ended meanwhile
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
            found += [int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:")]
    return found


def row(side: str, turns: Sequence[Turn], simulation: Sequence[Turn]) -> Row:
    """A side's row of the table."""
    rounds, others = ([median(turn.seconds) for turn in each] for each in (turns, simulation))
    return {
        "side": side,
        "round (s)": median(rounds),
        "all rounds (s)": spread([seconds for turn in turns for seconds in turn.seconds]),
        "ratio": paired_ratio(rounds, others),
        "memory (MB)": median(turn.memory for turn in turns) / 1e6,
        "processes": max(turn.processes for turn in turns),
        "generator": " or ".join(sorted({turn.generator[:12] for turn in turns})),
    }
