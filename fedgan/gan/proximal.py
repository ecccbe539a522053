"""FedProx: in a local round a client's generator is drawn to the one that the server sent."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Annotated, Any

import torch
from annotated_types import Interval
from torch import Tensor, nn

from fedgan.core.arguments import checked


@checked
@dataclass(frozen=True)
class Proximal:
    """mu/2 |G - G_server|^2 in addition to G's loss (Li et al. 2020, arXiv 1812.06127, Equation 2).

    Of G's parameters alone: buffers are no part of it, and D, which no server sends, has nothing to be drawn to. It
    acts on the gradients; the losses that a client reports, and detectors see, are those without it. It holds for every
    client, also for the server's own while that fine-tunes.

    Attributes:
        mu: in [0, 1e6]; 0 for none.
        decoupled: draw the weights themselves instead, G <- G - lr mu (G - G_server) after each step, which Adam
            does not rescale (as decoupled weight decay does, Loshchilov & Hutter 2019).

    Raises:
        ValueError: for an argument out of range.
    """

    mu: Annotated[float, Interval(ge=0, le=1e6)] = 0.0
    decoupled: bool = False

    def adapt(self, recipe: Any) -> Any:
        """The ``Recipe`` with this term; without one it stays as it is, whatever the local algorithm."""
        return replace(recipe, proximal=self) if self.mu else recipe

    def anchor(self, parameters: Iterable[nn.Parameter], optimizer: torch.optim.Optimizer) -> "Anchor | None":
        """Have the optimizer's steps draw these parameters, a client's generator's; None without the term."""
        return Anchor(self, list(parameters), optimizer) if self.mu else None


class Anchor:
    """Where a generator was as the local round began, and the pull toward it at each of its optimizer's steps.

    Example:
        >>> weight = nn.Parameter(torch.tensor(1.0))
        >>> sgd = torch.optim.SGD([weight], lr=0.5)
        >>> anchor = Proximal(mu=0.1).anchor([weight], sgd)
        >>> weight.data.fill_(2.0), setattr(weight, "grad", torch.tensor(0.0))
        (tensor(2.), None)
        >>> sgd.step()
        >>> weight.grad, weight.data  # mu (2 - 1), and 2 - 0.5 * 0.1
        (tensor(0.1000), tensor(1.9500))
    """

    def __init__(self, proximal: Proximal, parameters: list[nn.Parameter], optimizer: torch.optim.Optimizer) -> None:
        self.mu, self.parameters = proximal.mu, parameters
        self.drop()
        if proximal.decoupled:
            optimizer.register_step_post_hook(self._pull)
        else:
            optimizer.register_step_pre_hook(self._add_gradients)

    def drop(self) -> None:
        """From here on the parameters are drawn to where they are now."""
        self.places: list[Tensor] = [parameter.detach().clone() for parameter in self.parameters]

    @torch.no_grad()
    def _add_gradients(self, *_: Any) -> None:
        """Gradient of mu/2 |G - G_server|^2: mu (G - G_server)."""
        for parameter, place in zip(self.parameters, self.places, strict=True):
            if parameter.grad is not None:
                parameter.grad.add_(parameter - place, alpha=self.mu)

    @torch.no_grad()
    def _pull(self, optimizer: torch.optim.Optimizer, *_: Any) -> None:
        rate = optimizer.param_groups[0]["lr"]
        for parameter, place in zip(self.parameters, self.places, strict=True):
            parameter.lerp_(place, rate * self.mu)
