"""Optimizers as the configuration names them: made from a network's parameters, and tried before that."""

from collections.abc import Callable, Iterator
from typing import Annotated

import torch
from annotated_types import Ge, Lt
from torch import nn

from fedgan.core.arguments import Trial, validated

LearningRate = Annotated[float, Ge(0)]
_Share = Annotated[float, Ge(0), Lt(1)]
# Of torch's optimizers, by what they call it: torch itself takes a momentum of 1, with which steps grow without end.
_RANGES = {"lr": LearningRate, "momentum": _Share}


def _try(setting: str, factory: Callable[[Iterator[nn.Parameter]], torch.optim.Optimizer]) -> None:
    """Make an optimizer of a single weight, before it is made anywhere else.

    Args:
        setting: what the error calls it.
        factory: makes it; a ``functools.partial`` shows its settings.

    Raises:
        ValueError: in one line, if it does not take its settings.

    Example:
        >>> from functools import partial
        >>> validated("fl.server_optimizer", OptimizerFactory, partial(torch.optim.SGD, lr=-1))
        Traceback (most recent call last):
        ...
        ValueError: fl.server_optimizer.lr must be a number in [0, inf); got -1
    """
    settings = getattr(factory, "keywords", {})
    for name in sorted(_RANGES.keys() & settings.keys()):
        validated(f"{setting}.{name}", _RANGES[name], settings[name])
    try:
        factory(iter([nn.Parameter(torch.zeros(1))]))
    except Exception as error:  # torch compares and adds before it checks, and each optimizer does so in its own way
        raise ValueError(f"{setting} does not take its settings {settings}: {error}") from error


# An argument of this type is tried where it is declared; see ``checked``.
OptimizerFactory = Annotated[Callable[[Iterator[nn.Parameter]], torch.optim.Optimizer], Trial(_try)]
