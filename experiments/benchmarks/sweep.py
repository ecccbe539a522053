"""A sweep of tiny runs: one after the other in one process, against joblib's workers."""

from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path
from statistics import median

from experiments.benchmarks.base import Benchmark, Row, in_turn, paired_ratio, spread
from experiments.benchmarks.startup import call
from fedgan.core.arguments import Count, checked


@checked
class Sweep(Benchmark):
    """The same command by two of Hydra's launchers, over as many seeds as there are runs.

    Args:
        overrides: of every run.
        runs: how many.
        jobs: joblib's workers.
        repeats: how often each launcher is measured.
    """

    title = "a sweep, by launcher"
    goal = "8 tiny runs by joblib on 2 cores faster than one after the other"

    def __init__(self, *, overrides: Sequence[str], runs: Count = 8, jobs: Count = 2, repeats: Count = 5) -> None:
        super().__init__(repeats=repeats)
        self.overrides, self.runs, self.jobs = list(overrides), runs, jobs

    def measure(self, folder: Path) -> Sequence[Row]:
        """One row per launcher: median seconds of the sweep, and how many times as fast as the serial one it is."""
        sides = {
            "serial": self._sweep(folder / "serial"),
            f"joblib, {self.jobs} jobs": self._sweep(
                folder / "joblib", "hydra/launcher=joblib", f"hydra.launcher.n_jobs={self.jobs}"
            ),
        }
        seconds = in_turn(sides, self.repeats)
        return [
            {
                "launcher": name,
                "runs": self.runs,
                "seconds": median(each),
                "range": spread(each),
                "serial_over_this": paired_ratio(seconds["serial"], each),
            }
            for name, each in seconds.items()
        ]

    def _sweep(self, folder: Path, *launcher: str) -> Callable[[], None]:
        numbers = count()

        def sweep() -> None:
            where = f"hydra.sweep.dir={folder}/{next(numbers)}"
            call("-m", "fedgan.train", "-m", *launcher, *self.overrides, f"seed=range({self.runs})", where)

        return sweep
