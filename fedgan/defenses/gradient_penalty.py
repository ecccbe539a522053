"""Local training regularization of the earlier paper: every client trains a Wasserstein GAN with gradient penalty."""

import copy
from dataclasses import replace
from typing import Annotated

import torch
from annotated_types import Interval
from torch import nn

from fedgan.core.arguments import component
from fedgan.core.optimizers import OptimizerFactory
from fedgan.defenses.base import Defense
from fedgan.gan.losses import Wasserstein
from fedgan.gan.recipe import Recipe


@component
class GradientPenalty(Defense):
    """A discriminator whose slope is kept at 1 cannot overfit the trigger so easily (Jin & Li 2022; ``gp.py``).

    It changes the clients' recipe: the loss becomes Wasserstein's with the penalty, D's BatchNorm becomes
    InstanceNorm (BatchNorm would tie an image's slope to the others of its batch), and both networks get the
    optimizer given here.

    Args:
        weight: lambda of the penalty, above 0 (the paper: 10).
        optimizer: makes both networks' optimizers (the paper: RMSprop at 2e-4); None keeps the model's own.
    """

    weight: Annotated[float, Interval(gt=0, le=1e6)] = 10.0
    optimizer: OptimizerFactory | None = None

    def adapt(self, recipe: Recipe) -> Recipe:
        """Loss, normalization and optimizers."""
        return replace(
            recipe,
            discriminator=with_instance_norm(recipe.discriminator),
            loss=Wasserstein(self.weight),
            optimizer_g=self.optimizer or recipe.optimizer_g,
            optimizer_d=self.optimizer or recipe.optimizer_d,
        )


def with_instance_norm(module: nn.Module) -> nn.Module:
    """A copy with an affine InstanceNorm, of the same gains and offsets, in the place of each BatchNorm.

    Example:
        >>> type(with_instance_norm(nn.Sequential(nn.BatchNorm2d(3)))[0]).__name__
        'InstanceNorm2d'
    """
    changed = copy.deepcopy(module)
    for name, part in list(changed.named_modules()):
        if isinstance(part, nn.BatchNorm2d):
            owner, _, attribute = name.rpartition(".")
            setattr(changed.get_submodule(owner), attribute, _instance_norm(part))
    return changed


@torch.no_grad()
def _instance_norm(batch_norm: nn.BatchNorm2d) -> nn.InstanceNorm2d:
    norm = nn.InstanceNorm2d(batch_norm.num_features, eps=batch_norm.eps, affine=True)
    if batch_norm.affine:
        norm.weight.copy_(batch_norm.weight)
        norm.bias.copy_(batch_norm.bias)
    return norm
