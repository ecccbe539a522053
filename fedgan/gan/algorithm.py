"""The paper's local algorithm as a component: each client trains a conditional GAN, of which only G is shared."""

import copy
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Annotated, Literal

import torch
from torch import nn

from fedgan.core.arguments import Allowed, NonNegative, Probability, checked, validated
from fedgan.core.checks import check
from fedgan.core.optimizers import OptimizerFactory
from fedgan.gan.client import GANClient, Transform, keep
from fedgan.gan.losses import Objective
from fedgan.gan.recipe import Recipe
from fedgan.gan.vectorized import train_together
from fedgan.models.base import Generator

NotCompiled = Annotated[None, Allowed("null with fl/backend=vectorized: torch.func maps what is not compiled")]


@checked
class GAN:
    """What clients do between two messages of the server: see ``GANClient``.

    Clients report ``loss_g`` and ``loss_d`` (means over the local steps), ``loss_g_last`` (the last step's) and, where
    a defense needs it, ``loss_g_final`` (Eq. 6: the mean of log(1 - D(G(z|y))) of the final networks over fresh
    latents). With ``arrival_samples``, or where a defense needs it, they also report ``loss_g_arrival``: G's loss by
    their discriminator on images of the generator that the server has sent, before they train; all judge the same
    images, so nothing but the discriminators differs.

    Args:
        generator: G_server at round 0.
        discriminator: D at the first round, the same for every client, whom it never leaves.
        loss: the adversarial objective.
        optimizer_g: makes the generator's optimizer from its parameters.
        optimizer_d: likewise for the discriminator.
        shared_fakes: see ``Recipe``.
        arrival_samples: images for ``loss_g_arrival``, rounded up to whole batches; 0 for no such loss.
        compile: of both networks by ``torch.compile``, such as reduce-overhead (CUDA graphs); None for none.
        ema: how much of itself the released generator keeps in a round, in [0, 1); see ``Federation``.

    Raises:
        ValueError: in one line, if one is out of range.
    """

    losses = ("loss_g", "loss_d")
    metrics: tuple[str, ...] = ("loss_g", "loss_d", "loss_g_last", "loss_g_final")
    train_together = staticmethod(train_together)

    def __init__(
        self,
        *,
        generator: Generator,
        discriminator: nn.Module,
        loss: Objective,
        optimizer_g: OptimizerFactory,
        optimizer_d: OptimizerFactory,
        shared_fakes: bool = False,
        arrival_samples: NonNegative = 0,
        compile: Literal["default", "reduce-overhead", "max-autotune"] | None = None,  # noqa: A002 (the setting's name)
        ema: Probability = 0.0,
    ) -> None:
        self.generator, self.ema, self.compile_mode = generator, ema, compile
        self.recipe = Recipe(
            discriminator, loss, optimizer_g, optimizer_d, shared_fakes, arrival_samples=arrival_samples
        )
        self.transform_batch: Transform = keep
        self._untrained = copy.deepcopy(generator)

    def defend(self, adaptations: Sequence[Callable[[Recipe], Recipe]], transform_batch: Transform) -> None:
        """Change what clients train with, before there is any.

        Args:
            adaptations: applied to the recipe one after the other.
            transform_batch: what real images go through before each step.

        Raises:
            ValueError: in one line, if a defense needs what the objective cannot give.
        """
        for adapt in adaptations:
            self.recipe = adapt(self.recipe)
        self.transform_batch = transform_batch
        if self.recipe.arrival_samples:  # a column that runs have only where it is measured
            self.metrics = (*type(self).metrics, "loss_g_arrival")
        measured = not self.recipe.loss_samples or self.recipe.loss.saturating(torch.zeros(1)) is not None
        allowed = "without feddetect where the critic gives no probability (Eq. 6): feddetect_code takes any loss"
        check(measured, "defense", allowed, type(self.recipe.loss).__name__)

    def check_together(self) -> None:
        """Refuse settings with which ``train_together`` cannot be used.

        Raises:
            ValueError: in one line.
        """
        validated("model.compile", NotCompiled, self.compile_mode)

    def client(self) -> GANClient:
        """A client as it is before its first round; all are equal."""
        own = replace(self.recipe, discriminator=copy.deepcopy(self.recipe.discriminator))
        return GANClient(
            generator=copy.deepcopy(self._untrained),
            recipe=own,
            transform_batch=self.transform_batch,
            compile_mode=self.compile_mode,
        )
