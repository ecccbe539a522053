"""Every k rounds the released generator is scored and drawn, from latents that never change."""

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import torch
from annotated_types import Interval
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from fedgan.core.arguments import validated
from fedgan.core.checks import check
from fedgan.core.images import ImageSet, Splits
from fedgan.core.latents import balanced_latents
from fedgan.core.trigger import Trigger
from fedgan.federated.faults import CONSTANT, NO_VARIETY, Event
from fedgan.federated.federation import Federation
from fedgan.metrics.base import Metric, Reference
from fedgan.scoring.grid import save_grid
from fedgan.scoring.grid_files import grid_file, grid_files
from fedgan.scoring.sampling import draw_images
from fedgan.scoring.scorer import Scorer


class Evaluator(Callback):
    """Lightning's validation loop draws the images; at its end they are scored.

    Args:
        metrics: by name.
        splits: the real images.
        trigger: what the metrics look for; None without one.
        seed: the run's.
        samples_per_class: synthetic images per class that the metrics see.
        grid_per_class: how many of these a sample grid shows.
        latent_seed: of the latents.
        folder: where the sample grids go.
        always: rounds that are evaluated whatever the interval, besides the last.
        trained: see ``Reference``.

    Attributes:
        latest: the last evaluation's metrics.
        round_evaluated: when that was; -1 before the first.
        scorer: the metrics at work.
    """

    def __init__(
        self,
        metrics: Mapping[str, Metric],
        *,
        splits: Splits,
        trigger: Trigger | None,
        seed: int,
        samples_per_class: int,
        grid_per_class: int,
        latent_seed: int,
        folder: Path,
        always: Collection[int] = (),
        trained: Callable[[], Sequence[ImageSet]] | None = None,
    ) -> None:
        samples = Annotated[int, Interval(ge=2, le=1_000_000)]
        validated("evaluation.samples_per_class", samples, samples_per_class)
        validated("evaluation.grid_per_class", Annotated[int, Interval(ge=1, le=samples_per_class)], grid_per_class)
        self.scorer = Scorer(metrics, splits.classes)
        self.splits, self.trigger, self.seed, self.trained = splits, trigger, seed, trained
        self.samples_per_class = samples_per_class
        self.request = balanced_latents(len(splits.classes), samples_per_class, latent_seed)
        self.grid_per_class, self.folder, self.always = grid_per_class, folder, always
        self.real = splits.test.first_of_each_class(grid_per_class)
        self.latest: dict[str, float] = {}
        self.round_evaluated = -1
        self.varied: set[str] = set()  # classes whose images have once differed
        self.networks: dict[str, str] = {}  # that metrics have measured with so far
        self._drawn: list[Tensor] = []

    def loader(self, z_dim: int, batch_size: int = 64) -> DataLoader[tuple[Tensor, ...]]:
        """Batches of (latents, labels): what the Trainer validates on."""
        return DataLoader(TensorDataset(self.request.latents(z_dim), self.request.labels), batch_size=batch_size)

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Before the first round, when the device is known.

        Raises:
            ValueError: in one line, if a run that is resumed would be measured with another pretrained network, or
                without one that it began with.
        """
        self.every = trainer.check_val_every_n_epoch or 1
        if trainer.is_global_zero:
            device, samples = pl_module.device, self.samples_per_class
            self.scorer.prepare(Reference(self.splits, self.trigger, self.seed, device, samples, self.trained))
            self._check_networks()

    def state_dict(self) -> dict[str, Any]:
        """The last evaluation: a run that stopped before its summary still has its metrics."""
        return {
            "latest": self.latest,
            "round_evaluated": self.round_evaluated,
            "varied": sorted(self.varied),
            "networks": self.networks,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the last evaluation."""
        self.latest, self.round_evaluated = dict(state_dict["latest"]), state_dict["round_evaluated"]
        self.varied = set(state_dict["varied"])
        self.networks = dict(state_dict.get("networks", {}))  # none in checkpoints of earlier versions

    def is_due(self, round_: int) -> bool:
        """Whether a round is evaluated even if the run does not end there."""
        return (round_ + 1) % self.every == 0 or round_ in self.always

    def grid_of(self, round_: int) -> Path:
        """Where the sample grid of a round is, if the round was evaluated."""
        return grid_file(self.folder, round_)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Remove the grids that a run which is continued would not have drawn, or has yet to draw."""
        for round_, file in grid_files(self.folder).items() if trainer.is_global_zero else ():
            if round_ >= trainer.current_epoch or not self.is_due(round_):
                file.unlink()

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Some rounds are evaluated whatever the interval."""
        last = trainer.current_epoch + 1 == trainer.max_epochs
        trainer.check_val_every_n_epoch = 1 if last or self.is_due(trainer.current_epoch) else self.every

    def on_validation_batch_end(self, trainer: Trainer, pl_module: LightningModule, outputs: Any, *args: Any) -> None:
        """Keep the drawn images: uint8, (B, C, H, W)."""
        if outputs is not None:
            self._drawn.append(outputs.cpu())

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Score the images and draw the grid, where they were drawn."""
        if not trainer.is_global_zero:
            return
        images = torch.cat(self._drawn).contiguous()
        synthetic = ImageSet(images, self.request.labels, self.splits.classes)
        self._drawn = []
        self._watch_collapse(synthetic, pl_module)
        assert isinstance(pl_module, Federation)
        self.latest = self.scorer.score(synthetic, partial(draw_images, pl_module.released))
        self.round_evaluated = trainer.current_epoch
        pl_module.log_dict(self.latest, logger=False)  # loggers get a round as a whole
        self.folder.mkdir(exist_ok=True)
        note = f", synthetic, after round {trainer.current_epoch}"
        file = self.grid_of(trainer.current_epoch)
        save_grid(synthetic, file, per_class=self.grid_per_class, note=note, real=self.real)

    def _check_networks(self) -> None:
        now = self.scorer.networks()
        for name, before in self.networks.items():
            if name not in now:
                why = self.scorer.absent[name]
                raise ValueError(f"metrics.{name} was measured in earlier rounds and cannot be now: {why}")
            allowed = f"measured with the network that the run began with, {before[:12]}"
            check(now[name] == before, f"metrics.{name}", allowed, now[name][:12])
        self.networks |= now

    def _watch_collapse(self, synthetic: ImageSet, pl_module: LightningModule) -> None:
        """Images that are all one are an event: once they have differed, or at the end."""
        assert isinstance(pl_module, Federation)
        last = pl_module.trainer.current_epoch + 1 == pl_module.trainer.max_epochs
        for label, name in enumerate(synthetic.classes):
            spread = float(synthetic.of_class(label).float().std(dim=0).mean())
            if spread >= CONSTANT:
                self.varied.add(name)
            elif name in self.varied or last:
                kind = "collapsed" if name in self.varied else NO_VARIETY
                found = f"images of {name} differ by {spread:.2g} gray levels"
                pl_module.events.append(Event(pl_module.round, None, kind, found, "training continues"))
