"""Adaptive server optimizers as published: torch's Adam, which corrects its bias, is not FedAdam."""

from collections.abc import Callable, Iterable
from typing import overload

import torch
from torch import Tensor, nn

from fedgan.core.arguments import Positive, Probability, checked
from fedgan.core.optimizers import LearningRate


@checked
class FedAdam(torch.optim.Optimizer):
    """Algorithm 2 of Reddi et al. 2021 (arXiv 2003.00295): G <- G - lr m / (sqrt(v) + tau).

    With g = G_server - aggregate, the opposite of the paper's Delta, m <- beta1 m + (1 - beta1) g from 0 and
    v <- beta2 v + (1 - beta2) g^2 from tau^2. Neither is corrected for its beginning. Steps of all coordinates come
    to about the same size, which undoes what a defense has clipped.

    Args:
        params: the generator's parameters.
        lr: the server's learning rate, at least 0.
        beta1: how much of itself m keeps in a round, in [0, 1).
        beta2: likewise v, in [0, 1).
        tau: above 0; the larger, the less adaptive.

    Raises:
        ValueError: for an argument out of range.

    Example:
        >>> weight = nn.Parameter(torch.zeros(1))
        >>> weight.grad = torch.tensor([-1.0])  # the aggregate is 1 larger
        >>> FedAdam([weight], lr=0.1).step()
        >>> round(weight.item(), 4)  # 0.1 * 0.1 / (sqrt(0.01 + 0.99e-6) + 0.001)
        0.099
    """

    def __init__(
        self,
        params: Iterable[nn.Parameter],
        *,
        lr: LearningRate = 0.01,
        beta1: Probability = 0.9,
        beta2: Probability = 0.99,
        tau: Positive = 1e-3,
    ) -> None:
        super().__init__(params, {"lr": lr, "beta1": beta1, "beta2": beta2, "tau": tau})

    @overload
    def step(self, closure: None = None) -> None: ...

    @overload
    def step(self, closure: Callable[[], float]) -> float: ...

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """One round's step; a parameter without gradient stays as it is."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._move(parameter, parameter.grad, group["lr"], group["beta1"], group["beta2"], group["tau"])
        return loss

    def _move(self, parameter: Tensor, g: Tensor, lr: float, beta1: float, beta2: float, tau: float) -> None:
        state = self.state[parameter]
        if not state:
            state["m"], state["v"] = torch.zeros_like(parameter), torch.full_like(parameter, tau**2)
        state["m"].lerp_(g, 1 - beta1)
        self.accumulate(state["v"], g.square(), beta2)
        parameter.addcdiv_(state["m"], state["v"].sqrt().add_(tau), value=-lr)

    @staticmethod
    def accumulate(v: Tensor, square: Tensor, beta2: float) -> None:
        """Bring v, in place, up to a round whose g^2 is ``square``."""
        v.lerp_(square, 1 - beta2)


class FedYogi(FedAdam):
    """``FedAdam``, but for v <- v - (1 - beta2) g^2 sign(v - g^2): v shrinks by (1 - beta2) g^2 a round at most.

    After a round with large updates steps stay small for longer than FedAdam's.

    Example:
        >>> v = torch.tensor([1.0, 1.0])
        >>> FedYogi.accumulate(v, torch.tensor([0.25, 4.0]), beta2=0.9)
        >>> v  # 1 - 0.025 and 1 + 0.4
        tensor([0.9750, 1.4000])
    """

    @staticmethod
    def accumulate(v: Tensor, square: Tensor, beta2: float) -> None:
        """See ``FedAdam``."""
        v.addcmul_(square, (v - square).sign(), value=beta2 - 1)
