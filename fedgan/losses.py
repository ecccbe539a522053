"""What D and G minimise, given D's logits."""

from dataclasses import dataclass
from typing import Protocol

import torch.nn.functional as F
from torch import Tensor


class Objective(Protocol):
    """The two sides of a GAN's game; both are minimised."""

    def discriminator(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        """D's loss, a scalar, from logits of real and of synthetic images, (B,) each."""

    def generator(self, fake_logits: Tensor) -> Tensor:
        """G's loss, a scalar, from logits of synthetic images, (B,)."""


@dataclass(frozen=True)
class NonSaturating:
    """Binary cross-entropy for D; for G the non-saturating -log D(G(z)) (Goodfellow et al. 2014, Section 3).

    The paper's text has G minimise log(1 - D(G(z))); its first code minimises this, and so do we.

    Example:
        >>> import torch
        >>> loss = NonSaturating()
        >>> round(loss.generator(torch.zeros(3)).item(), 4)  # an undecided D: log 2
        0.6931
    """

    def discriminator(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        """E[-log D(x)] + E[-log(1 - D(G(z)))], D being the logits' sigmoid."""
        return F.softplus(-real_logits).mean() + F.softplus(fake_logits).mean()

    def generator(self, fake_logits: Tensor) -> Tensor:
        """E[-log D(G(z))]."""
        return F.softplus(-fake_logits).mean()
