"""What the federation expects of a generator."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn


class Generator(nn.Module, ABC):
    """G(z, y). Subclasses take ``num_classes``, ``channels`` and ``image_size`` by keyword, besides their own.

    Attributes:
        z_dim: dimension of the latent z.
    """

    z_dim: int

    @abstractmethod
    def forward(self, z: Tensor, labels: Tensor, noise: torch.Generator | None = None) -> Tensor:
        """Images, (B, C, H, W), nominally in [-1, 1].

        Args:
            z: standard normal, (B, z_dim).
            labels: int64, (B,).
            noise: what noise inputs are drawn from in training; None for sampling, where an image must depend on
                its z and label alone.
        """
