"""Weights & Biases as Lightning's logger, with the round as its only step and the results of a run."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from lightning_fabric.utilities.logger import _add_prefix
from lightning_utilities.core.rank_zero import rank_zero_only
from pytorch_lightning.loggers import WandbLogger

from fedgan.config.logging.loggers import kept_variable

STAGING = "WANDB_DATA_DIR"  # where the library puts copies of what it has yet to send


class WandbRun(WandbLogger):
    """Lightning's logger, but for the step: all values of a round are one row, whose step is the round.

    Args:
        artifact: makes a ``wandb.Artifact`` of its ``name`` and ``metadata``; None: the generator is not logged.
        settings: Lightning's own, and those of ``wandb.init``.
    """

    def __init__(self, *, artifact: Callable[..., Any] | None = None, **settings: Any) -> None:
        super().__init__(**settings)
        # Lightning 2.6 passes on a setting, None, that Weights & Biases has given up and warns of in every run.
        self._wandb_init.pop("anonymous", None)
        self.artifact = artifact
        self._step: int | None = None  # of the row that has been begun

    @property
    def experiment(self) -> Any:
        """The ``wandb.Run``, begun when it is first asked for."""
        begins = self._experiment is None
        run = super().experiment
        if begins:
            run.define_metric("round")
            run.define_metric("*", step_metric="round")
        return run

    @property
    def summary_line(self) -> str:
        """Where the run is, and how it gets elsewhere."""
        run = self.experiment
        if getattr(run, "offline", False):
            return f"wandb: offline; to send this run: wandb sync {Path(run.dir).parent}"
        return f"wandb: online at {run.url}"

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Add values to the row of a round; ``save`` ends the row."""
        own = _add_prefix(metrics, self._prefix, self.LOGGER_JOIN_CHAR)
        if step is None:
            self.experiment.log(own)
            return
        self._step = step
        self.experiment.log({**own, "round": step}, step=step, commit=False)

    @rank_zero_only
    def log_table(self, *args: Any, **kwargs: Any) -> None:
        """Lightning's, with the library's copy of the table in the run's folder, not in the user's home."""
        with kept_variable(STAGING):
            os.environ.setdefault(STAGING, str(Path(str(self.save_dir)) / "wandb"))
            super().log_table(*args, **kwargs)

    @rank_zero_only
    def save(self) -> None:
        """End a round's row: it is in the run's file from now on."""
        if self._step is not None:
            self.experiment.log({}, step=self._step, commit=True)
            self._step = None

    @rank_zero_only
    def conclude(self, summary: Mapping[str, Any], generator: Path, facts: Mapping[str, Any]) -> None:
        """Take a finished run's results.

        Args:
            summary: summary.json; its metrics keep the names of their curves.
            generator: the released generator's file.
            facts: about it, for the artifact.
        """
        own = {name: value for name, value in summary.items() if name != "metrics"}
        self.experiment.summary.update({**own, **summary["metrics"]})
        if self.artifact is None:
            return
        artifact = self.artifact(name=f"generator-{self.experiment.id}", metadata=dict(facts))
        # Immutable: sent from where it is. Otherwise the library copies it into the user's home.
        artifact.add_file(str(generator.absolute()), policy="immutable", skip_cache=True)
        self.experiment.log_artifact(artifact)
