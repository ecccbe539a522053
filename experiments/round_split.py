"""Where a round's time goes, by Lightning's own profiler.

python -m experiments.round_split
"""

import csv
import json
import sys
from pathlib import Path
from statistics import mean
from typing import Annotated

from annotated_types import Ge
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig
from pytorch_lightning.profilers import SimpleProfiler
from rich.table import Table

from experiments.settings import checked_overrides
from fedgan.config.command import command
from fedgan.config.screen import screen
from fedgan.config.sweeps.subcommand import call
from fedgan.core.arguments import validated
from fedgan.core.folders import check_empty

STEPS = ("D step", "G step")


class JsonProfiler(SimpleProfiler):
    """Lightning's simple profiler, its durations written as JSON (seconds by action, in the order of calls)."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self.path = Path(path)

    def summary(self) -> str:
        """Write the durations instead of printing a table."""
        self.path.write_text(json.dumps({name: list(times) for name, times in self.recorded_durations.items()}))
        return ""


@command("round_split")
def main(cfg: DictConfig) -> None:
    """Run a federation under the profiler and print each part's share of a round."""
    validated("rounds", Annotated[int, Ge(4)], cfg.rounds)
    folder = Path(HydraConfig.get().runtime.output_dir)
    check_empty("hydra.run.dir", folder)
    profile = folder / "profile.json"
    arguments = [
        *checked_overrides(cfg.overrides),
        f"fl.rounds={cfg.rounds}",
        "evaluation.every=1000",
        "metrics=none",
        "trainer.profiler={_target_: experiments.round_split.JsonProfiler, path: " + str(profile) + "}",
        f"hydra.run.dir={folder / 'run'}",
    ]
    code = call("fedgan.train", *arguments)
    if code:
        sys.exit(code)
    show(shares(json.loads(profile.read_text()), cfg.rounds), folder)


def shares(durations: dict[str, list[float]], rounds: int) -> dict[str, float]:
    """Mean seconds of each part of a round, without the first and the last round (medians would not add up)."""
    parts = {
        "data": "data",
        "D step": "D step",
        "G step": "G step",
        "server": "server",
        "record": "record",
        "checkpoint": "ModelCheckpoint",
    }
    seconds = {title: mean(_per_round(durations, name, rounds)) for title, name in parts.items()}
    # Lightning's epoch ends before its last hooks, which write the records and the checkpoint.
    ends = [times for action, times in durations.items() if action.endswith(".on_train_epoch_end")]
    whole = mean(durations["run_training_epoch"][1 : rounds - 1]) + sum(mean(times[1 : rounds - 1]) for times in ends)
    return {**seconds, "rest": whole - sum(seconds.values()), "round": whole}


def _per_round(durations: dict[str, list[float]], name: str, rounds: int) -> list[float]:
    """Sums by round of the action's durations (of all actions whose name contains ``name``, for callbacks)."""
    if name in durations:
        return _chunks(durations[name], rounds)[1:-1]
    hooks = [times for action, times in durations.items() if name in action and len(times) == rounds]
    return [sum(times[t] for times in hooks) for t in range(1, rounds - 1)]


def _chunks(times: list[float], rounds: int) -> list[float]:
    each = len(times) // rounds
    return [sum(times[t * each : (t + 1) * each]) for t in range(rounds)]


def show(seconds: dict[str, float], folder: Path) -> None:
    """Print the table and write it as CSV."""
    table = Table(title="a round, mean seconds and share")
    for title in ("part", "seconds", "share"):
        table.add_column(title, justify="right" if title != "part" else "left")
    besides = sum(value for part, value in seconds.items() if part not in (*STEPS, "round"))
    rows = [*seconds.items(), ("besides D and G steps", besides)]
    cells = [(part, f"{value:.4f}", f"{value / seconds['round']:.2%}") for part, value in rows]
    for row in cells:
        table.add_row(*row)
    with (folder / "round_split.csv").open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([("part", "seconds", "share"), *cells])
    screen().print(table)


if __name__ == "__main__":
    main()
