"""Clients that differ in how many images they have, and in nothing else."""

import numpy as np
import torch
from torch import Tensor

from fedgan.core.arguments import Count, component
from fedgan.core.images import ImageSet
from fedgan.core.rng import keyed_generator
from fedgan.partitions._rules import Concentration, MinImages, Sizes, check_enough, drawn_until, largest_remainder
from fedgan.partitions.base import Partition


@component
class Quantity(Partition):
    """Sizes in shares ~ Dir(beta 1_N), the images at random (Li et al. 2022, arXiv 2102.02079, "quantity skew").

    Losses are means over unequal numbers of steps, so that those of small clients are noisier.

    Args:
        beta: the smaller, the more uneven the sizes; in [0.001, 1e6].
        min_images: what a client has at least; at least 2.
        max_tries: how often sizes are drawn.

    Raises:
        ValueError: for an argument out of range; in ``split`` if some client's share is too small in all tries.
    """

    beta: Concentration = 0.5
    min_images: MinImages = 10
    max_tries: Count = 1000

    def split(self, images: ImageSet, num_clients: int, seed: int) -> list[Tensor]:
        """See ``Partition``."""
        check_enough("min_images", self.min_images, len(images), num_clients)

        def draw(rng: np.random.Generator) -> Sizes:
            return largest_remainder(rng.dirichlet([self.beta] * num_clients), len(images))

        limits = {"min_images": self.min_images, "max_tries": self.max_tries}
        sizes = drawn_until(draw, name="beta", value=self.beta, seed=seed, **limits)
        order = torch.randperm(len(images), generator=keyed_generator(seed, "partition"))
        return [part.sort().values for part in torch.split(order, sizes.tolist())]
