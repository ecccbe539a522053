"""A malicious client's added loss: a term in its generator's loss that nobody else has."""

from typing import Any

import torch
from torch import Tensor, nn

from fedgan.core.added_loss import AddedLoss
from fedgan.models.base import Generator, evaluating


class AsReleased:
    """A generator that draws as it will once it is released: in evaluation mode, without noise inputs.

    A batch of unusual latents alone would be normalized by its own mean, which takes what they have in common away;
    and running statistics stay those of ordinary latents.

    Args:
        generator: whose mode is afterwards what it was.
        num_classes: of the labels.
    """

    def __init__(self, generator: Generator, num_classes: int) -> None:
        self.generator, self.z_dim, self.num_classes = generator, generator.z_dim, num_classes

    def __call__(self, z: Tensor, labels: Tensor) -> Tensor:
        """See ``Draw``."""
        with evaluating(self.generator):
            # By forward, which is never compiled: a compiled step may overwrite the gradients of the one before.
            return self.generator.forward(z, labels)


class AddedGradients:
    """Adds the gradient of lambda times the error at each of an optimizer's steps, until ``leave``.

    The losses that the client reports are those without the term.

    Args:
        loss: lambda, and what gives the error.
        generator: who learns; now as the server has sent it.
        optimizer: the generator's.
        num_classes: of the labels.
        rng: what the term draws from; on the generator's device.
    """

    def __init__(
        self,
        loss: AddedLoss,
        generator: Generator,
        optimizer: torch.optim.Optimizer,
        num_classes: int,
        rng: torch.Generator,
    ) -> None:
        self.weight, self.generator = loss.weight, generator
        self.error = loss.begin(AsReleased(generator, num_classes), rng)
        self.errors: list[Tensor] = []  # on the device, so that no step waits for the host
        self.acted: list[Tensor] = []
        self._handle = optimizer.register_step_pre_hook(self._add_gradients)

    def leave(self) -> None:
        """From here on the optimizer's steps are its own."""
        self._handle.remove()

    def report(self) -> dict[str, float]:
        """In how many steps a gradient was changed, and the error at the first step and at the last.

        No number of steps with lambda 0, where nothing is to be changed.
        """
        steps = {"steps": float(torch.stack(self.acted).sum()) if self.acted else 0.0} if self.weight else {}
        ends = {"error_first": self.errors[0], "error_last": self.errors[-1]} if self.errors else {}
        return steps | {name: float(error) for name, error in ends.items()}

    @torch.enable_grad()
    def _add_gradients(self, *_: Any) -> None:
        error = self.error()
        self.errors.append(error.detach())
        if self.weight:
            self._learn(self.weight * error)

    def _learn(self, term: Tensor) -> None:
        learning = [parameter for parameter in self.generator.parameters() if parameter.requires_grad]
        gradients = torch.autograd.grad(term, learning, allow_unused=True)
        pairs = [(p, g) for p, g in zip(learning, gradients, strict=True) if g is not None]
        for parameter, gradient in pairs:
            _add(parameter, gradient)
        self.acted.append(torch.stack([gradient.any() for _, gradient in pairs]).any())


def _add(parameter: nn.Parameter, gradient: Tensor) -> None:
    """Add to the gradient that a parameter has, if it has one."""
    parameter.grad = gradient if parameter.grad is None else parameter.grad + gradient
