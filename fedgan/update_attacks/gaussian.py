"""Noise in place of what was learned, or on top of it (Blanchard et al. 2017)."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from fedgan.core.arguments import Positive, component
from fedgan.core.round import Round
from fedgan.core.update import ClientUpdate
from fedgan.update_attacks._deltas import Delta, length, moved_along, sent
from fedgan.update_attacks.base import UpdateAttack

Form = Literal["replace", "add"]


def gaussian(delta: Delta, sd: float, rng: torch.Generator) -> dict[str, Tensor]:
    """N(0, sd^2) for each coordinate, drawn on the CPU, so that every device gets the same.

    Args:
        delta: whose shapes, dtypes and devices the noise has.
        sd: at least 0.
        rng: on the CPU.
    """
    return {
        name: sd * torch.randn(tensor.shape, generator=rng, dtype=tensor.dtype).to(tensor.device)
        for name, tensor in delta.items()
    }


@component
class Gaussian(UpdateAttack):
    """Each malicious client sends G + noise, or X + noise; the noise is as long as ``factor`` times its own update.

    Each coordinate is N(0, s^2) with s = factor |X - G| / sqrt(d), d the number of parameters: relative to the update,
    as a fixed s (200 in the paper) means nothing for another model.

    Args:
        factor: |noise| / |X - G|, up to chance; above 0.
        form: replace: noise in place of what was learned; add: on top of it.
    """

    factor: Positive = 1.0
    form: Form = "replace"

    def __str__(self) -> str:
        """Such as ``noise in place of updates, 1 times as long``."""
        where = "in place of" if self.form == "replace" else "on top of"
        return f"noise {where} updates, {self.factor:g} times as long"

    def alter(
        self, own: Sequence[ClientUpdate], known: Sequence[ClientUpdate], round_: Round
    ) -> Sequence[ClientUpdate]:
        """See ``UpdateAttack``."""
        return sent(own, [self._noisy(update, round_) for update in own], round_)

    def _noisy(self, update: ClientUpdate, round_: Round) -> dict[str, Tensor]:
        delta = round_.delta(update.state)
        count = sum(tensor.numel() for tensor in delta.values())
        sd = self.factor * length(delta) / count**0.5
        noise = gaussian(delta, sd, round_.rng("update_attack", "gaussian", update.client_id))
        return noise if self.form == "replace" else moved_along(delta, noise, 1.0)
