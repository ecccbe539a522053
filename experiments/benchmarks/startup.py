"""Seconds before something happens: help, a refusal, the first local step, the end of a tiny run."""

import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from pytorch_lightning.profilers import Profiler

from experiments.benchmarks.base import Benchmark, Row, in_turn, paired_ratio, spread
from fedgan.core.arguments import Count, checked

# What every run waits for: Lightning, and what torch imports with the first optimizer.
IMPORTS = "import torch, pytorch_lightning; torch.optim.Adam([torch.zeros(1)])"


class FirstStep(Profiler):
    """Writes to ``path`` when the first local step began (seconds since the epoch), and measures nothing else."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self.path = Path(path)

    def start(self, action_name: str) -> None:
        """Note the first step of a discriminator."""
        if action_name == "D step" and not self.path.exists():
            self.path.write_text(repr(time.time()))

    def stop(self, action_name: str) -> None:
        """Nothing is measured."""


@checked
class Startup(Benchmark):
    """Commands as the shell starts them, a process each.

    Args:
        overrides: of the run: a tiny one.
        repeats: how often each command is started.
    """

    title = "from the command to the first step"
    goal = "help in under 2 s, first step in under 6 s"

    def __init__(self, *, overrides: Sequence[str], repeats: Count = 5) -> None:
        super().__init__(repeats=repeats)
        self.overrides = list(overrides)

    def measure(self, folder: Path) -> Sequence[Row]:
        """One row per command: median seconds, and their ratio to what the imports alone take."""
        first_steps: list[float] = []
        train = ("-m", "fedgan.train")
        seconds = in_turn(
            {
                "imports of torch and Lightning alone": lambda: call("-c", IMPORTS),
                "--help": lambda: call(*train, "--help"),
                "a misspelled setting refused": lambda: call(*train, "fl.round=2", status=1),
                "the run's end": lambda: first_steps.append(first_step(folder, len(first_steps), self.overrides)),
            },
            self.repeats,
        )
        seconds["the run's first local step"] = first_steps[1:]  # the first run is not counted
        alone = seconds["imports of torch and Lightning alone"]
        return [
            {"until": name, "seconds": median(each), "range": spread(each), "over_imports": paired_ratio(each, alone)}
            for name, each in seconds.items()
        ]


def first_step(folder: Path, number: int, overrides: Sequence[str]) -> float:
    """Seconds until the first local step of a run, which is left in ``folder``."""
    noted = folder / f"first_step_{number}"
    profiler = f"trainer.profiler={{_target_: {__name__}.FirstStep, path: '{noted}'}}"
    start = time.time()
    call("-m", "fedgan.train", *overrides, profiler, f"hydra.run.dir={folder / f'run_{number}'}")
    return float(noted.read_text()) - start


def call(*arguments: str, status: int = 0) -> None:
    """Run Python with these arguments.

    Raises:
        RuntimeError: if it ends with another exit code than ``status``.
    """
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False)
    if done.returncode != status:
        raise RuntimeError(f"{arguments} ended with {done.returncode}: {done.stderr[-2000:]}")
