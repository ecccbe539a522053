"""What a person sees while a federation trains: rounds, inside them clients and steps, and the time left."""

import time
from typing import Any

from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import ProgressBar
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from fedgan.federated import messages
from fedgan.federated.faults import EXPECTED
from fedgan.federated.federation import Federation
from fedgan.runs.closing import one_line
from fedgan.scoring.callback import Evaluator


class RoundProgress(ProgressBar):
    """A rich progress bar on a terminal; one line per round where there is none, or several runs print to it.

    Args:
        label: what begins each line; empty where no other run prints to this screen.
    """

    def __init__(self, label: str = "") -> None:
        super().__init__()
        self.label = label
        self.console = Console(stderr=True)
        self.by_line = bool(label) or not self.console.is_terminal
        self.progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
            console=self.console,
            disable=self.by_line,
        )
        self.images, self.start = 0, 0.0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Open the bars."""
        assert isinstance(pl_module, Federation)
        total = trainer.max_epochs
        self.rounds = self.progress.add_task("rounds", total=total, completed=pl_module.round, note="")
        self.clients = self.progress.add_task("clients", note="")
        self.steps = self.progress.add_task("steps", note="")
        self.progress.start()
        pl_module.backend.on_local_step = lambda client_id: self._advance(pl_module, client_id)

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """A new round."""
        assert isinstance(pl_module, Federation)
        self.order: list[int] = messages.own(batch)
        self.planned = steps = sum(pl_module.backend.steps_of(i) for i in self.order)
        self.progress.reset(self.clients, total=len(self.order))
        self.progress.reset(self.steps, total=steps)
        self.progress.update(self.rounds, note="the server fine-tunes" if pl_module.fine_tunes else "")
        self.images, self.start = 0, time.perf_counter()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """A round is over."""
        assert isinstance(pl_module, Federation)
        self.progress.advance(self.rounds)
        self.progress.update(self.clients, completed=len(self.order), note="")
        self.progress.update(self.steps, completed=self.planned)  # also where clients have dropped out
        for event in pl_module.events:
            said = "note" if event.kind in EXPECTED else "warning"
            self._print(f"{said}: {event}")
        evaluator = next((each for each in trainer.callbacks if isinstance(each, Evaluator)), None)  # type: ignore[attr-defined]
        if evaluator is not None and evaluator.round_evaluated == pl_module.round and evaluator.latest:
            self._print(f"round {pl_module.round} of {trainer.max_epochs}: {one_line(evaluator.latest)}")
        if self.by_line:
            shown = pl_module.backend.losses
            means = {n: sum(u.metrics[n] for u in pl_module.updates) / len(pl_module.updates) for n in shown}
            text = "  ".join(f"{name} {value:.3f}" for name, value in means.items())
            who = "the server alone  " if pl_module.fine_tunes else ""
            self._print(f"{who}round {pl_module.round} of {trainer.max_epochs}  {text}  {pl_module.seconds:.1f} s")

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Close the bars."""
        self.progress.stop()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Leave the terminal as it was."""
        self.progress.stop()

    def _print(self, line: str) -> None:
        self.console.print(f"{self.label}{line}", markup=False, highlight=False, soft_wrap=True)

    def _advance(self, federation: Federation, client_id: int) -> None:
        if self.progress.disable:
            return
        self.images += federation.backend.images_of(client_id) // federation.backend.steps_of(client_id)
        rate = self.images / (time.perf_counter() - self.start)
        self.progress.advance(self.steps)
        self.progress.update(self.steps, note=f"{rate:.0f} images/s")
        self.progress.update(self.clients, completed=self.order.index(client_id), note=f"client {client_id}")
