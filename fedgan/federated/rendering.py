"""Images of clients' generators, drawn at the server."""

import sys

import torch
from torch import Tensor
from torch.func import functional_call

from fedgan.core.update import State
from fedgan.models.base import Generator, evaluating

PIXELS_AT_ONCE = 2**21  # 32 images of 256 x 256: the paper's generator takes 4 GB for them


class GeneratorRenderer:
    """A ``Renderer`` that lends one generator the states it is given; it gets its own back.

    Args:
        generator: whose network draws.
        num_classes: how many classes there are.
        image_size: of the images in px, by which it is decided how many are drawn at once; None for all.

    Example:
        >>> from fedgan.models.dcgan import DCGANGenerator
        >>> make = lambda: DCGANGenerator(num_classes=2, channels=1, image_size=32, base_channels=4)
        >>> draw = GeneratorRenderer(make(), num_classes=2)
        >>> draw(make().state_dict(), torch.zeros(3, draw.z_dim), torch.tensor([0, 1, 1])).shape
        torch.Size([3, 1, 32, 32])
    """

    def __init__(self, generator: Generator, num_classes: int, image_size: int | None = None) -> None:
        self.generator, self.z_dim, self.num_classes = generator, generator.z_dim, num_classes
        self.at_once = max(1, PIXELS_AT_ONCE // image_size**2) if image_size else sys.maxsize

    @torch.no_grad()
    def __call__(self, state: State, z: Tensor, labels: Tensor) -> Tensor:
        """See ``Renderer``; drawn on the generator's device."""
        device = next(self.generator.parameters()).device
        # In memory as the generator's own are: kernels round otherwise for another layout, and a state that another
        # process has sent has lost the one that it had.
        layouts = self.generator.state_dict()
        own = {name: torch.empty_like(layouts[name]).copy_(tensor) for name, tensor in state.items()}
        with evaluating(self.generator):
            parts = [
                functional_call(self.generator, own, (some.to(device), asked.to(device)))
                for some, asked in zip(torch.split(z, self.at_once), torch.split(labels, self.at_once), strict=True)
            ]
        return parts[0] if len(parts) == 1 else torch.cat(parts)
