"""SIGTERM, SIGUSR1 and Ctrl-C: the round in progress is finished and kept; a second signal stops at once."""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from pytorch_lightning import Callback, LightningModule, Trainer

# SIGUSR1 is what Slurm sends before a job's end (#SBATCH --signal=USR1@90).
SIGNALS = (signal.SIGINT, signal.SIGTERM, *([signal.SIGUSR1] if hasattr(signal, "SIGUSR1") else []))


@contextmanager
def interruptible(trainer: Trainer) -> Iterator[None]:
    """Let Ctrl-C out of a Trainer as what it is: Lightning makes a failed process of it (``sys.exit(1)``).

    Raises:
        KeyboardInterrupt: if that is what stopped the Trainer.
    """
    try:
        yield
    except SystemExit as end:
        if trainer.interrupted:
            raise KeyboardInterrupt from end
        raise


class Interruption(Callback):
    """Has the Trainer stop after the round in which a signal came.

    Lightning puts the handlers back that were there before the run.

    Attributes:
        received: the signal's name; None while there was none.
    """

    def __init__(self) -> None:
        self.received: str | None = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Handle the signals; later than Lightning, which would give up the round."""

        def handle(number: int, frame: FrameType | None) -> None:
            if self.received is not None:
                raise KeyboardInterrupt
            self.received = signal.Signals(number).name
            if trainer.is_global_zero:  # Ctrl-C reaches every process of a run
                print(f"{self.received}: stopping after this round; once more stops at once", file=sys.stderr)

        for number in SIGNALS:
            signal.signal(number, handle)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop, in all processes or none: a signal may have reached only one."""
        if trainer.strategy.reduce_boolean_decision(self.received is not None, all=False):
            self.received = self.received or "a signal to another process"
            trainer.should_stop = True
