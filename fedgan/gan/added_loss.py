"""A malicious client's added loss: a term in its generator's loss that nobody else has (``attack=latent_trigger``)."""

from typing import Any

import torch
from torch import Tensor, nn

from fedgan.attacks.base import AddedLoss
from fedgan.core.images import to_float
from fedgan.models.base import Generator, evaluating


class AddedGradients:
    """Adds the gradient of lambda mean (G(z_t, y) - target)^2 at each of an optimizer's steps, until ``leave``.

    G draws as it will once it is released: in evaluation mode, without noise inputs. A batch of trigger latents alone
    would be normalized by its own mean, which takes what they have in common away; and running statistics stay those
    of ordinary latents. The losses that the client reports are those without the term.

    Args:
        loss: the trigger, lambda and how many latents a step.
        generator: who learns.
        optimizer: the generator's.
        num_classes: of the labels y.
        rng: of the latents and labels; on the generator's device.
    """

    def __init__(
        self,
        loss: AddedLoss,
        generator: Generator,
        optimizer: torch.optim.Optimizer,
        num_classes: int,
        rng: torch.Generator,
    ) -> None:
        self.loss, self.generator, self.num_classes, self.rng = loss, generator, num_classes, rng
        self.target = to_float(loss.trigger.target).to(rng.device)
        self.errors: list[Tensor] = []  # on the device, so that no step waits for the host
        self.acted: list[Tensor] = []
        self._handle = optimizer.register_step_pre_hook(self._add_gradients)

    def leave(self) -> None:
        """From here on the optimizer's steps are its own."""
        self._handle.remove()

    def report(self) -> dict[str, float]:
        """In how many steps a gradient was changed, and the mean squared error at the first step and at the last."""
        steps = float(torch.stack(self.acted).sum()) if self.acted else 0.0
        ends = {"error_first": self.errors[0], "error_last": self.errors[-1]} if self.errors else {}
        return {"steps": steps, **{name: float(error) for name, error in ends.items()}}

    @torch.enable_grad()
    def _add_gradients(self, *_: Any) -> None:
        error = self._error()
        learning = [parameter for parameter in self.generator.parameters() if parameter.requires_grad]
        gradients = torch.autograd.grad(self.loss.weight * error, learning, allow_unused=True)
        pairs = [(p, g) for p, g in zip(learning, gradients, strict=True) if g is not None]
        for parameter, gradient in pairs:
            _add(parameter, gradient)
        self.errors.append(error.detach())
        self.acted.append(torch.stack([gradient.any() for _, gradient in pairs]).any())

    def _error(self) -> Tensor:
        """mean (G(z_t, y) - target)^2 over new latents, pixels and channels in [-1, 1]."""
        count, device = self.loss.samples, self.rng.device
        z = torch.randn(count, self.generator.z_dim, generator=self.rng, device=device)
        labels = torch.randint(self.num_classes, (count,), generator=self.rng, device=device)
        with evaluating(self.generator):
            # By forward, which is never compiled: a compiled step may overwrite the gradients of the one before.
            images = self.generator.forward(self.loss.trigger.stamp(z), labels)
        return (images - self.target).square().mean()


def _add(parameter: nn.Parameter, gradient: Tensor) -> None:
    """Add to the gradient that a parameter has, if it has one."""
    parameter.grad = gradient if parameter.grad is None else parameter.grad + gradient
