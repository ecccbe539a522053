"""What a client trains with besides its generator; a defence may change it before the first round."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import nn

from fedgan.checks import check_number
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
        shared_fakes: G learns from the synthetic images that D has just learned from, which saves one of G's two
            forward passes in a step; otherwise from new ones, as in the paper's first code.
        loss_samples: fresh latents over which a client measures Eq. 6 after its local round; 0 for not at all.
    """

    discriminator: nn.Module
    loss: Objective
    optimizer_g: OptimizerFactory
    optimizer_d: OptimizerFactory
    shared_fakes: bool = False
    loss_samples: int = 0


def check_optimizer(setting: str, factory: OptimizerFactory) -> None:
    """Try an optimizer on a single weight, before it is made anywhere else.

    Args:
        setting: what the error calls it.
        factory: makes it; a ``functools.partial`` shows its learning rate.

    Raises:
        ValueError: in one line, if it does not take its settings.

    Example:
        >>> from functools import partial
        >>> check_optimizer("fl.server_optimizer", partial(torch.optim.SGD, lr=-1))
        Traceback (most recent call last):
        ...
        ValueError: fl.server_optimizer.lr must be a number in [0, inf); got -1
    """
    settings = getattr(factory, "keywords", {})
    if "lr" in settings:
        check_number(f"{setting}.lr", settings["lr"], low=0.0, high=math.inf, high_allowed=False)
    try:
        factory(iter([nn.Parameter(torch.zeros(1))]))
    except Exception as error:  # torch compares and adds before it checks, and each optimizer does so in its own way
        raise ValueError(f"{setting} does not take its settings {settings}: {error}") from error
