"""Speed and scale, each measured within one run, side by side.

python -m experiments.benchmarks overhead
"""

import subprocess
import sys
from pathlib import Path

import torch
from hydra.core.hydra_config import HydraConfig
from hydra.utils import instantiate
from omegaconf import DictConfig

from experiments.benchmarks.base import Benchmark, report
from fedgan.config.command import command
from fedgan.config.refusals import CONF
from fedgan.core.files import write_json
from fedgan.core.folders import check_empty
from fedgan.core.precision import cpu_name
from fedgan.runs.provenance import git_state, versions


@command("benchmarks", free=("benchmark",))
def run_one(cfg: DictConfig) -> None:
    """Measure, print the table, and leave it as CSV next to what it was measured with."""
    folder = Path(HydraConfig.get().runtime.output_dir)
    check_empty("hydra.run.dir", folder)
    benchmark: Benchmark = instantiate(cfg.benchmark)
    rows = benchmark.measure(folder)
    name = HydraConfig.get().runtime.choices["benchmark"]
    report(benchmark, rows, folder / f"{name}.csv")
    threads = torch.get_num_threads()
    machine = {"cpu": cpu_name(), "threads": threads, "gpu": torch.cuda.is_available() and torch.cuda.get_device_name()}
    write_json(folder / "machine.json", {**machine, "versions": versions(), "git": git_state()})
    print(folder)


def main() -> None:
    """The benchmark whose name comes first, with overrides behind it; all of them without a name."""
    arguments = sys.argv[1:]
    if arguments and "=" not in arguments[0] and not arguments[0].startswith("-"):
        sys.argv[1] = f"benchmark={arguments[0]}"
    elif not any(argument.startswith(("-", "benchmark=")) for argument in arguments):
        everything = sorted(file.stem for file in (CONF / "benchmark").glob("*.yaml"))
        # A process each: none inherits the memory, the threads or the caches of the one before.
        failed = [name for name in everything if _alone(name, arguments)]
        sys.exit(f"error: failed: {', '.join(failed)}" if failed else 0)
    run_one()


def _alone(name: str, arguments: list[str]) -> int:
    return subprocess.run([sys.executable, "-m", "experiments.benchmarks", name, *arguments], check=False).returncode


if __name__ == "__main__":
    main()
