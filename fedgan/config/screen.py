"""What is seen on the screen: how wide tables are, and what libraries are kept from printing."""

import logging
import os
import warnings
from multiprocessing import current_process

from rich.console import Console

WIDE = 200  # columns


def screen(*, stderr: bool = False) -> Console:
    """A console as wide as the terminal; ``WIDE`` where there is none, such as in a pipe, so that no cell is broken.

    Args:
        stderr: whether it prints to stderr, not to stdout.
    """
    console = Console(stderr=stderr)
    known = console.is_terminal or "COLUMNS" in os.environ
    return console if known else Console(stderr=stderr, width=WIDE)


def quieten() -> None:
    """Keep Lightning's notes to its own developers off the screen (its warnings stay), workers' bars, and fonts."""
    if current_process().name != "MainProcess":
        os.environ["TTY_COMPATIBLE"] = "0"  # several runs share the terminal: each prints one line per round
    # The child loggers: Lightning sets its own level when it is imported, later than this.
    for name in ("utilities.rank_zero", "accelerators.cuda"):
        logging.getLogger(f"pytorch_lightning.{name}").setLevel(logging.WARNING)
    # At a user's first run it says that it looks for fonts, by Hydra's logging on stdout, next to a command's result.
    logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)
    # Lightning and MLflow say that they make a file or an experiment that is not there yet.
    logging.getLogger("pytorch_lightning.loggers.mlflow").setLevel(logging.ERROR)
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", message=".*isinstance\\(treespec, LeafSpec\\).*")
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")
    warnings.filterwarnings("ignore", message="Checkpoint directory .* exists and is not empty.*")  # a resumed run's
    warnings.filterwarnings("ignore", message="The dirpath has changed from .*")  # a run folder may move
    warnings.filterwarnings("ignore", message=".*sync_dist=True.*")  # one process alone evaluates
