"""What can go wrong with a client, and how it is recorded: nothing is left out in silence."""

import math
from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Interval

from fedgan.core.arguments import Count, NonNegative, Probability, checked
from fedgan.core.update import ClientUpdate, State

DIVERGING = 100.0  # a loss beyond this, either way, is worth a warning
EXPECTED = ("dropped_out",)  # kinds of events that the settings ask for: no warnings
NO_VARIETY = "no_variety"  # said of a run's last round alone: a run that is extended has no such event there
CONSTANT = 1.0  # gray levels: images of a class that differ by less are one image


@checked
@dataclass(frozen=True)
class Tolerance:
    """How much a federation tolerates before a round, and then the run, is given up.

    Args:
        dropout: the probability that a client which was chosen does not answer, in [0, 1).
        straggler_timeout: seconds after which an update comes too late; None for never. It depends on the
            machine's speed, so a run with it cannot be repeated to the bit.
        min_clients: how many updates a round needs.
        max_retries: how often a round with fewer is repeated.

    Raises:
        ValueError: if one is out of range.
    """

    dropout: Probability = 0.0
    straggler_timeout: Annotated[float, Interval(gt=0, le=1e9)] | None = None
    min_clients: Count = 1
    max_retries: NonNegative = 3


@dataclass(frozen=True)
class Event:
    """A row of events.csv.

    Attributes:
        round: in which round, counted from 0.
        client: which client; None where it is not about one.
        kind: dropped_out, raised, bad_update, late, too_few_clients, diverging, collapsed or no_variety.
        detail: what was found.
        action: what was done about it.
    """

    round: int
    client: int | None
    kind: str
    detail: str
    action: str

    def __str__(self) -> str:
        who = "" if self.client is None else f", client {self.client}"
        return f"round {self.round}{who}: {self.kind} ({self.detail}); {self.action}"


def fault_of(update: ClientUpdate, expected: State) -> str | None:
    """Why an update cannot be aggregated; None for one that can.

    Args:
        update: as it arrived.
        expected: a state with the names, shapes and dtypes that the update must have.

    Example:
        >>> good = {"p": torch.zeros(2)}
        >>> fault_of(ClientUpdate(0, 8, {"p": torch.tensor([1.0, float("nan")])}, {"loss_g": 0.5}), good)
        'p is not finite'
    """
    for name, value in update.metrics.items():
        if not math.isfinite(value):
            return f"{name} is {value}"
    if missing := sorted(expected.keys() - update.state.keys()):
        return f"{missing[0]} is missing"
    if unknown := sorted(update.state.keys() - expected.keys()):
        return f"{unknown[0]} does not belong there"
    for name, tensor in update.state.items():
        want = expected[name]
        if tensor.shape != want.shape or tensor.dtype != want.dtype:
            return f"{name} is {tensor.dtype} {tuple(tensor.shape)}, not {want.dtype} {tuple(want.shape)}"
        if not bool(torch.isfinite(tensor).all()):
            return f"{name} is not finite"
        if name.endswith("running_var") and bool((tensor < 0).any()):
            return f"{name} is negative"
    return None
