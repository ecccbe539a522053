"""How much of the machine's own matrix rate the local step reaches."""

import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.profilers import Profiler
from torch.utils.flop_counter import FlopCounterMode

from experiments.benchmarks.base import Benchmark, Row, in_turn
from fedgan.config.building.algorithm import build_algorithm
from fedgan.core.arguments import Count, checked
from fedgan.core.images import ImageSet, Splits
from fedgan.gan.client import GANClient

PARTS = ("D step", "G step", "local step")


class Meter(Profiler):
    """A profiler that adds up, by part of the step, what ``read`` gained meanwhile.

    Example:
        >>> meter = Meter(iter([1.0, 4.0]).__next__)
        >>> with meter.profile("D step"):
        ...     pass
        >>> meter.gained["D step"]
        3.0
    """

    def __init__(self, read: Callable[[], float]) -> None:
        super().__init__()
        self.read = read
        self.gained: dict[str, float] = defaultdict(float)

    def start(self, action_name: str) -> None:
        """The part begins."""
        self.gained[action_name] -= self.read()

    def stop(self, action_name: str) -> None:
        """The part ends."""
        self.gained[action_name] += self.read()


Step = Callable[[Meter], None]


@checked
class Efficiency(Benchmark):
    """FLOPs a second of the D step, the G step and the whole local step on the CPU, against matrix products.

    FLOPs are what torch counts in convolutions and matrix products, forward and backward: 2 B C_in C_out k^2 times the
    pixels of the output (of the input where the convolution is transposed), less for the depthwise filters; nothing
    that works on each element alone, and no optimizer. The matrix rate is the best of the float32 products measured
    next to each step; a share is the median over these neighbors.

    Args:
        cases: by name, a model preset (``model``), an ``image_size`` and a ``batch_size``; images are gray.
        matrix_sizes: n of the n x n products, 2 n^3 FLOPs.
        repeats: how often each is measured.
    """

    title = "FLOP rate of the local step"
    goal = "at 64 x 64, batch 32, on 2 cores: 0.45 for dcgan, 0.35 for stylegan2"

    def __init__(
        self, *, cases: Mapping[str, Mapping[str, Any]], matrix_sizes: Sequence[int], repeats: Count = 5
    ) -> None:
        super().__init__(repeats=repeats)
        self.cases = {name: OmegaConf.create(dict(case)) for name, case in cases.items()}
        self.matrices = {f"{n} x {n}": torch.rand(n, n) for n in matrix_sizes}

    def measure(self, folder: Path) -> list[Row]:
        """One row per case and part of the step."""
        return [row for name, case in self.cases.items() for row in self._rows(name, case)]

    def _rows(self, name: str, case: DictConfig) -> list[Row]:
        step = local_step(case)
        flops, seconds, rates = flops_of(step), *self._seconds(step)
        return [
            {
                "case": name,
                "part": part,
                "GFLOP": flops[part] / 1e9,
                "seconds": (typical := median(times[part] for times in seconds)),
                "GFLOP/s": flops[part] / typical / 1e9,
                "matrix GFLOP/s": median(rates) / 1e9,
                "share": median(flops[part] / times[part] / rate for times, rate in zip(seconds, rates, strict=True)),
            }
            for part in PARTS
        ]

    def _seconds(self, step: Step) -> tuple[list[dict[str, float]], list[float]]:
        """By repeat: the seconds of each part, and the matrix rate in FLOP/s."""
        meters: list[Meter] = []

        def watched() -> None:
            meters.append(Meter(time.perf_counter))
            step(meters[-1])

        products = {name: partial(torch.mm, matrix, matrix) for name, matrix in self.matrices.items()}
        times = in_turn({"step": watched, **products}, self.repeats)
        work = {name: 2 * len(matrix) ** 3 for name, matrix in self.matrices.items()}
        rates = [max(work[name] / times[name][i] for name in work) for i in range(self.repeats)]
        return [meter.gained for meter in meters[-self.repeats :]], rates


def local_step(case: DictConfig) -> Step:
    """The local step on noise images, its client built as a run builds it; it reports to the meter it is given."""
    rng = torch.Generator().manual_seed(0)
    shape = (case.batch_size, 1, case.image_size, case.image_size)
    images = torch.randint(0, 256, shape, dtype=torch.uint8, generator=rng)
    data = ImageSet(images, torch.arange(case.batch_size) % 2, ("a", "b"))
    splits = Splits("noise", data, data)
    client = build_algorithm(case.model, splits, seed=0).client()
    assert isinstance(client, GANClient)
    client.train()

    def step(meter: Meter) -> None:
        client.profiler = meter
        with meter.profile("local step"):
            client.step(data.images, data.labels, rng)

    return step


def flops_of(step: Step) -> dict[str, float]:
    """FLOPs of each part of the step, as torch counts them."""
    with FlopCounterMode(display=False) as counter:
        meter = Meter(counter.get_total_flops)
        step(meter)
    return meter.gained
