"""Neurotoxin: only the coordinates that honest training moves least are attacked (Zhang et al., ICML 2022)."""

from collections.abc import Sequence

import torch
from torch import Tensor

from fedgan.core.arguments import Fraction, component
from fedgan.core.round import Round
from fedgan.core.update import ClientUpdate
from fedgan.update_attacks._deltas import Delta, sent
from fedgan.update_attacks._follower import Follower


def calmest(step: Delta, keep: float) -> dict[str, Tensor]:
    """The coordinates that moved least, by absolute value, over all tensors together.

    Args:
        step: how the generator has moved.
        keep: share of all coordinates, in (0, 1), rounded down to a whole number; of equals the first are kept.

    Returns:
        A mask for each tensor, 1 where kept and 0 elsewhere, in the tensor's dtype.

    Example:
        >>> calmest({"w": torch.tensor([5.0, -1.0, 3.0, 0.1])}, keep=0.5)
        {'w': tensor([0., 1., 0., 1.])}
    """
    moved = torch.cat([tensor.abs().flatten() for tensor in step.values()])
    flat = torch.zeros_like(moved)
    flat[moved.argsort(stable=True)[: int(keep * len(moved))]] = 1.0
    parts = torch.split(flat, [tensor.numel() for tensor in step.values()])
    return {name: part.view_as(tensor) for (name, tensor), part in zip(step.items(), parts, strict=True)}


@component
class Neurotoxin(Follower):
    """Each malicious client sends G + mask (X - G): what honest rounds will not undo soon.

    The mask is made from the server's last step, G_t - G_{t-1}, which every client can compute. The paper projects the
    gradient in each local step; here it is the update, after training. In round 0 there is no last step: the clients
    send what they have trained.

    Args:
        keep: the share of the coordinates that is attacked, in (0, 1); the paper: 0.95 to 0.99.
    """

    keep: Fraction = 0.95

    def __str__(self) -> str:
        """Such as ``updates of the 95 % calmest coordinates``."""
        return f"updates of the {100 * self.keep:g} % calmest coordinates"

    def rests(self, own: Sequence[ClientUpdate], known: Sequence[ClientUpdate], round_: Round) -> bool:
        """In round 0."""
        return self.step is None

    def alter(
        self, own: Sequence[ClientUpdate], known: Sequence[ClientUpdate], round_: Round
    ) -> Sequence[ClientUpdate]:
        """See ``UpdateAttack``."""
        assert self.step is not None, "it has rested in round 0"
        mask = calmest(self.step, self.keep)
        deltas = [round_.delta(update.state) for update in own]
        return sent(own, [{name: d * mask[name] for name, d in delta.items()} for delta in deltas], round_)
