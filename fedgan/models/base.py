"""What the federation expects of a generator, and the sizes that generators and discriminators are made for."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated

import torch
from annotated_types import Predicate
from torch import Tensor, nn

from fedgan.core.arguments import Allowed

IMAGE_SIZES = (32, 64, 128, 256)
ImageSize = Annotated[
    int, Predicate(IMAGE_SIZES.__contains__), Allowed("a power of two from 32 to 256 (dataset.image_size sets it)")
]


class Generator(nn.Module, ABC):
    """G(z, y). Subclasses take ``num_classes``, ``channels`` and ``image_size`` by keyword, besides their own.

    Attributes:
        z_dim: dimension of the latent z.
    """

    z_dim: int

    @abstractmethod
    def forward(self, z: Tensor, labels: Tensor, noise: Sequence[Tensor] | None = None) -> Tensor:
        """Images, (B, C, H, W), nominally in [-1, 1].

        Args:
            z: standard normal, (B, z_dim).
            labels: int64, (B,).
            noise: what ``draw_noise`` drew, in training; None for sampling, where an image must depend on its z
                and label alone.
        """

    def draw_noise(self, batch_size: int, rng: torch.Generator) -> Sequence[Tensor]:
        """The noise inputs of one training batch, on the generator's device; none in most generators.

        They are an input, as z is, so that ``forward`` draws nothing and can be compiled or mapped over clients.
        """
        return ()


@contextmanager
def evaluating(generator: Generator) -> Iterator[None]:
    """The generator draws as it would once released, in evaluation mode; afterwards it has its own mode again."""
    trains = generator.training
    generator.eval()
    try:
        yield
    finally:
        generator.train(trains)
