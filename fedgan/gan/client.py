"""One client: a generator, a discriminator that never leaves it, and the local step."""

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import ceil
from typing import Any, Protocol

import torch
from pytorch_lightning import LightningModule
from pytorch_lightning.profilers import PassThroughProfiler, Profiler
from torch import Tensor, nn

from fedgan.core.added_loss import AddedLoss
from fedgan.core.images import ImageSet, to_float
from fedgan.core.rng import keyed_generator
from fedgan.gan.added_loss import AddedGradients
from fedgan.gan.recipe import Recipe
from fedgan.models.base import Generator

Transform = Callable[[Tensor, torch.Generator], Tensor]


class Steppable(Protocol):
    """An optimizer, bare or as Lightning wraps it."""

    def zero_grad(self, set_to_none: bool = ...) -> None: ...

    def step(self) -> object: ...


def keep(images: Tensor, rng: torch.Generator) -> Tensor:
    """The transform that changes nothing."""
    return images


@dataclass
class LossTally:
    """Sums over the local steps, kept on the device so that no step waits for the host."""

    steps: int = 0
    sums: dict[str, Tensor] = field(default_factory=dict)
    last: dict[str, Tensor] = field(default_factory=dict)

    def add(self, losses: dict[str, Tensor]) -> None:
        """Count one local step."""
        self.steps += 1
        self.sums = {name: self.sums.get(name, 0.0) + value for name, value in losses.items()}
        self.last = losses

    def metrics(self) -> dict[str, float]:
        """The means under the losses' names, and the last step's generator loss."""
        means = {name: float(total) / self.steps for name, total in self.sums.items()}
        return means | {"loss_g_last": float(self.last["loss_g"])}


class GANClient(LightningModule):
    """Trains G and D against each other on one client's images (Eq. 4 and 5).

    Inside a federation ``train_locally`` is called once per round; on its own the module is the centralized
    baseline: ``Trainer.fit(client, loader)`` with batches of (uint8 images, labels).

    Args:
        generator: (z, labels, noise) to images in [-1, 1].
        recipe: its discriminator, (images, labels) to logits, which becomes the client's own; loss, optimizers and
            whether G learns from the images that D has just learned from.
        transform_batch: what the real images go through before the step (a defense may set it).
        compile_mode: of ``torch.compile`` for both networks, ``reduce-overhead`` (CUDA graphs), say; None for none.
        seed: of the latents when the module trains alone.
    """

    def __init__(
        self,
        *,
        generator: Generator,
        recipe: Recipe,
        transform_batch: Transform = keep,
        compile_mode: str | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.generator, self.discriminator, self.loss = generator, recipe.discriminator, recipe.loss
        self.shared_fakes = recipe.shared_fakes
        self.loss_samples, self.arrival_samples = recipe.loss_samples, recipe.arrival_samples
        self.transform_batch, self.compiled = transform_batch, compile_mode is not None
        self.seed = seed
        self.profiler: Profiler = PassThroughProfiler()
        self.optimizer_g = recipe.optimizer_g(generator.parameters())
        self.optimizer_d = recipe.optimizer_d(recipe.discriminator.parameters())
        self.anchor = recipe.proximal.anchor(generator.parameters(), self.optimizer_g)
        if compile_mode is not None:
            for network in (self.generator, self.discriminator):
                network.compile(mode=compile_mode)  # in place: the names of the weights stay

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        """The client's own optimizers: their moments live as long as the run."""
        return [self.optimizer_g, self.optimizer_d]

    def begin_round(self) -> None:
        """Get ready to train; with a proximal term G is drawn to what it is now."""
        self.train()
        if self.anchor is not None:
            self.anchor.drop()

    def train_locally(
        self,
        data: ImageSet,
        *,
        epochs: int,
        batch_size: int,
        rng: torch.Generator,
        on_step: Callable[[], None] = lambda: None,
    ) -> dict[str, float]:
        """One local round (Procedure A of Algorithm 1): ``epochs`` passes in batches, the odd rest left out.

        Args:
            data: the client's images, on the client's device.
            epochs: local epochs.
            batch_size: images per step.
            rng: of the order, the latents and the noises; on the client's device.
            on_step: called after every local step.

        Returns:
            The scalars of ``ClientUpdate.metrics``.
        """
        self.begin_round()
        tally = LossTally()
        for _ in range(epochs):
            for indices in shuffled_batches(len(data), batch_size, rng):
                tally.add(self.step(data.images.index_select(0, indices), data.labels.index_select(0, indices), rng))
                on_step()
        return tally.metrics()

    @contextmanager
    def with_added_loss(self, loss: AddedLoss, num_classes: int, rng: torch.Generator) -> Iterator[AddedGradients]:
        """As long as the context lasts G learns this besides; see ``AddedGradients``."""
        added = AddedGradients(loss, self.generator, self.optimizer_g, num_classes, rng)
        try:
            yield added
        finally:
            added.leave()

    def lasting_state(self) -> dict[str, Any]:
        """What is kept from round to round: the discriminator and both optimizers' moments; no copy."""
        return {name: getattr(self, name).state_dict() for name in ("discriminator", "optimizer_g", "optimizer_d")}

    def snapshot(self) -> dict[str, Any]:
        """A copy of ``lasting_state``."""
        return copy.deepcopy(self.lasting_state())

    def restore(self, snapshot: dict[str, Any]) -> None:
        """Go back to a snapshot."""
        for name, state in snapshot.items():
            getattr(self, name).load_state_dict(state)
        self.discriminator.requires_grad_(True)  # a step that broke off may have left it frozen

    def step(
        self,
        images: Tensor,
        labels: Tensor,
        rng: torch.Generator,
        optimizers: Sequence[Steppable] | None = None,
    ) -> dict[str, Tensor]:
        """One update of D and one of G.

        Args:
            images: uint8, (B, C, H, W).
            labels: int64, (B,); the fake images are generated with the same labels.
            rng: of the latents and noises.
            optimizers: G's and D's as a Trainer wraps them; the client's own by default.

        Returns:
            Detached scalars: loss_d and loss_g.
        """
        optimizer_g, optimizer_d = optimizers or (self.optimizer_g, self.optimizer_d)
        if self.compiled:
            # The memory of the last step's CUDA graphs may be overwritten.
            torch.compiler.cudagraph_mark_step_begin()  # type: ignore[no-untyped-call]
        with self.profiler.profile("data"):
            real = self.transform_batch(to_float(images), rng).contiguous(memory_format=torch.channels_last)
        with self.profiler.profile("D step"):
            with torch.set_grad_enabled(self.shared_fakes):
                fake = self._generate(labels, rng)
            loss_d = self._discriminator_step(real, fake.detach(), labels, rng, optimizer_d)
        with self.profiler.profile("G step"):
            if not self.shared_fakes:
                fake = self._generate(labels, rng)
            loss_g = self._generator_step(fake, labels, optimizer_g)
        return {"loss_d": loss_d, "loss_g": loss_g}

    def measure(self, data: ImageSet, *, batch_size: int, rng: torch.Generator) -> dict[str, float]:
        """Eq. 6 where a defense needs it, as ``loss_g_final``; the networks stay as they are.

        Args:
            data: the client's images, whose labels are used.
            batch_size: images at once.
            rng: of latents, noises and labels; nothing is drawn where no loss is needed.
        """
        if not self.loss_samples:
            return {}
        return {"loss_g_final": self.final_loss(data.labels, batch_size=batch_size, rng=rng)}

    def measure_arrival(self, *, num_classes: int, batch_size: int, rng: torch.Generator) -> dict[str, float]:
        """G's loss on what the server sent, where a defense needs it, as ``loss_g_arrival``; the networks stay.

        Args:
            num_classes: of the labels, each as often as the others, but for one image at most.
            batch_size: images at once, the same for all clients, as ``rng`` is: then all judge the same images.
            rng: of latents and noises; nothing is drawn where no loss is needed.
        """
        if not self.arrival_samples:
            return {}
        return {"loss_g_arrival": self.arrival_loss(num_classes, batch_size=batch_size, rng=rng)}

    @torch.no_grad()
    def arrival_loss(self, num_classes: int, *, batch_size: int, rng: torch.Generator) -> float:
        """G's loss (E_z[-log D(G(z|y))], say) of the networks as they are, over ``arrival_samples`` latents.

        D judges whole batches by their own statistics, as in ``final_loss``; see ``measure_arrival``.
        """
        self.train()
        means = []
        with kept_buffers(self.generator, self.discriminator):
            for step in range(ceil(self.arrival_samples / batch_size)):
                # Counted on from batch to batch: else small batches would never reach the last of many classes.
                labels = (step * batch_size + torch.arange(batch_size, device=rng.device)) % num_classes
                means.append(self.loss.generator(self.discriminator(self._generate(labels, rng), labels)).double())
        return float(torch.stack(means).mean())

    @torch.no_grad()
    def final_loss(self, labels: Tensor, *, batch_size: int, rng: torch.Generator) -> float:
        """E_z[log(1 - D(G(z|y)))] (Eq. 6) of the networks as they are, over ``loss_samples`` fresh latents.

        D judges whole batches of synthetic images by their own statistics, as in training; what its (and G's)
        normalization keeps of earlier batches stays as it was.

        Args:
            labels: of the client's images, int64, (N,); each latent gets the class of one of them, drawn anew.
            batch_size: images at once; a last batch is filled up.
            rng: of the latents, noises and labels; on the client's device.

        Returns:
            The mean, at most 0.
        """
        self.train()
        steps = ceil(self.loss_samples / batch_size)
        means = []
        with kept_buffers(self.generator, self.discriminator):
            for _ in range(steps):
                drawn = torch.randint(len(labels), (batch_size,), generator=rng, device=labels.device)
                asked = labels.index_select(0, drawn)
                mean = self.loss.saturating(self.discriminator(self._generate(asked, rng), asked))
                assert mean is not None, "refused where the clients are built"
                means.append(mean.double())
        return float(torch.stack(means).mean())

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        """The local step when the module trains alone under a Trainer."""
        wrapped = self.optimizers()
        assert isinstance(wrapped, list)
        rng = keyed_generator(self.seed, "alone", self.current_epoch, batch_idx, device=self.device)
        self.log_dict(self.step(*batch, rng, optimizers=wrapped))

    def _discriminator_step(
        self, real: Tensor, fake: Tensor, labels: Tensor, rng: torch.Generator, optimizer: Steppable
    ) -> Tensor:
        real_logits = self.discriminator(real, labels)
        fake_logits = self.discriminator(fake, labels)
        loss = self.loss.discriminator(real_logits, fake_logits)
        # By forward, which is never compiled: a penalty differentiates twice, and compiled code cannot be.
        penalty = self.loss.penalty(lambda images: self.discriminator.forward(images, labels), real, fake, rng)
        if penalty is not None:
            loss = loss + penalty
        descend(loss, optimizer)
        return loss.detach()

    def _generator_step(self, fake: Tensor, labels: Tensor, optimizer: Steppable) -> Tensor:
        self.discriminator.requires_grad_(False)  # its gradients would be computed for nothing
        logits = self.discriminator(fake, labels)
        loss = self.loss.generator(logits)
        descend(loss, optimizer)
        self.discriminator.requires_grad_(True)
        return loss.detach()

    def _generate(self, labels: Tensor, rng: torch.Generator) -> Tensor:
        z = torch.randn(len(labels), self.generator.z_dim, generator=rng, device=labels.device)
        fake: Tensor = self.generator(z, labels, self.generator.draw_noise(len(labels), rng))
        return fake


@contextmanager
def kept_buffers(*modules: nn.Module) -> Iterator[None]:
    """Put the modules' buffers (running statistics) back to what they were."""
    before = [(buffer, buffer.clone()) for module in modules for buffer in module.buffers()]
    try:
        yield
    finally:
        for buffer, value in before:
            buffer.copy_(value)


def descend(loss: Tensor, optimizer: Steppable) -> None:
    """One gradient step on ``loss``."""
    optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()


def shuffled_batches(count: int, batch_size: int, rng: torch.Generator) -> Iterator[Tensor]:
    """Index batches of one epoch in a random order; a last batch that is not full is left out.

    Example:
        >>> rng = torch.Generator().manual_seed(0)
        >>> [len(batch) for batch in shuffled_batches(10, 4, rng)]
        [4, 4]
    """
    order = torch.randperm(count, generator=rng, device=rng.device)
    for start in range(0, count - batch_size + 1, batch_size):
        yield order[start : start + batch_size]
