"""Generators of one pixel, small enough to differentiate by hand."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from fedgan.models.base import Generator


class Scalar(Generator):
    """G(z, y) = theta, 0.5 at first."""

    def __init__(self) -> None:
        super().__init__()
        self.z_dim = 1
        self.theta = nn.Parameter(torch.tensor(0.5))

    def forward(self, z: Tensor, labels: Tensor, noise: Sequence[Tensor] | None = None) -> Tensor:
        return self.theta.expand(len(z), 1, 1, 1)


class Line(Generator):
    """G(z, y) = w . z, whatever the class; w is (0.5, -1) at first."""

    def __init__(self) -> None:
        super().__init__()
        self.z_dim, self.weight = 2, nn.Parameter(torch.tensor([0.5, -1.0]))

    def forward(self, z: Tensor, labels: Tensor, noise: object = None) -> Tensor:
        return (z @ self.weight).reshape(-1, 1, 1, 1)
