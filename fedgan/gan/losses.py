"""What D and G minimize: functions of D's logits, and of D itself where its slope counts."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

Critic = Callable[[Tensor], Tensor]
"""D for given labels: images (B, C, H, W) to logits (B,)."""


class Objective(ABC):
    """The two sides of a GAN's game; both are minimized."""

    @abstractmethod
    def discriminator(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        """D's loss, a scalar, from logits of real and of synthetic images, (B,) each."""

    @abstractmethod
    def generator(self, fake_logits: Tensor) -> Tensor:
        """G's loss, a scalar, from logits of synthetic images, (B,)."""

    def saturating(self, fake_logits: Tensor) -> Tensor | None:
        """E[log(1 - D(G(z)))] (Eq. 6), a scalar; None where D gives no probability."""
        return None

    def penalty(self, critic: Critic, real: Tensor, fake: Tensor, rng: torch.Generator) -> Tensor | None:
        """What is added to D's loss, a scalar; None for nothing.

        Args:
            critic: D.
            real: images in [-1, 1], (B, C, H, W).
            fake: synthetic images for the same labels, detached.
            rng: of whatever is drawn.
        """
        return None


@dataclass(frozen=True)
class NonSaturating(Objective):
    """Binary cross-entropy for D; for G the non-saturating -log D(G(z)) (Goodfellow et al. 2014, Section 3).

    The paper's text has G minimize log(1 - D(G(z))); its first code minimizes this, and so do we.

    Example:
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

    def saturating(self, fake_logits: Tensor) -> Tensor:
        """E[log(1 - D(G(z)))], at most 0."""
        return F.logsigmoid(-fake_logits).mean()


@dataclass(frozen=True)
class Wasserstein(Objective):
    """The Wasserstein GAN with gradient penalty (Gulrajani et al. 2017, Equation 3); logits are D's values.

    Args:
        penalty_weight: lambda, at least 0.

    Example:
        >>> loss = Wasserstein()
        >>> loss.discriminator(real_logits=torch.tensor([3.0]), fake_logits=torch.tensor([1.0])).item()
        -2.0
    """

    penalty_weight: float = 10.0

    def discriminator(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        """E[D(G(z))] - E[D(x)]."""
        return fake_logits.mean() - real_logits.mean()

    def generator(self, fake_logits: Tensor) -> Tensor:
        """-E[D(G(z))]."""
        return -fake_logits.mean()

    def penalty(self, critic: Critic, real: Tensor, fake: Tensor, rng: torch.Generator) -> Tensor:
        """lambda E[(|grad D(x)| - 1)^2]."""
        return self.penalty_weight * gradient_penalty(critic, real, fake, rng)


def gradient_penalty(critic: Critic, real: Tensor, fake: Tensor, rng: torch.Generator) -> Tensor:
    """E[(|grad D(x)|_2 - 1)^2] at x drawn evenly from the lines between real and synthetic images.

    The share of the real image is uniform in [0, 1] (Gulrajani et al. 2017, Algorithm 1); the first code draws it
    from a normal distribution, and so leaves the lines.

    Args:
        critic: D, differentiable twice, and for each image a function of that image alone.
        real: (B, C, H, W).
        fake: (B, C, H, W).
        rng: of the shares, on the images' device.

    Returns:
        A scalar, at least 0.

    Example:
        >>> images, rng = torch.zeros(2, 1, 2, 2), torch.Generator()
        >>> gradient_penalty(lambda x: 2 * x.sum(dim=(1, 2, 3)), images, images, rng).item()  # a slope of 2 * 2
        9.0
    """
    share = torch.rand(len(real), 1, 1, 1, generator=rng, device=real.device, dtype=real.dtype)
    between = torch.lerp(fake.to(real.dtype), real, share).detach().requires_grad_()
    (slopes,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
    lengths: Tensor = slopes.flatten(1).norm(dim=1)
    return (lengths - 1.0).square().mean()
