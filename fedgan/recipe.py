"""What a client trains with besides its generator; a defence may change it before the first round."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import nn

from fedgan.losses import Objective

OptimizerFactory = Callable[[Iterator[nn.Parameter]], torch.optim.Optimizer]


@dataclass(frozen=True)
class Recipe:
    """The parts of the local game.

    Attributes:
        discriminator: D at the first round, the same for every client.
        loss: the adversarial objective.
        optimizer_g: makes the generator's optimizer from its parameters.
        optimizer_d: likewise for the discriminator.
    """

    discriminator: nn.Module
    loss: Objective
    optimizer_g: OptimizerFactory
    optimizer_d: OptimizerFactory
