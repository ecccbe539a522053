"""A term that malicious clients add to their generators' loss: what an attack gives, and what it may ask."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor


class Draw(Protocol):
    """A client's generator, drawing as it would once released: in evaluation mode, without noise inputs.

    Attributes:
        z_dim: dimension of the latents.
        num_classes: how many classes there are.
    """

    z_dim: int
    num_classes: int

    def __call__(self, z: Tensor, labels: Tensor) -> Tensor:
        """Images, (B, C, H, W), nominally in [-1, 1], from latents (B, z_dim) and labels, int64, (B,).

        Gradients reach the generator as it is at the time of the call.
        """


class AddedLoss(ABC):
    """What a malicious client's generator learns besides the game: lambda times an error.

    Attributes:
        weight: lambda, at least 0. With 0 the error is measured and nothing is learned from it.
    """

    weight: float

    @abstractmethod
    def begin(self, draw: Draw, rng: torch.Generator) -> Callable[[], Tensor]:
        """Begin a client's local round.

        Args:
            draw: the client's generator, now as the server has sent it.
            rng: of this client, round and term alone; on the generator's device.

        Returns:
            What gives the error at each local step: a scalar.
        """
