"""What a client trains with besides its generator; a defense may change it before the first round."""

from dataclasses import dataclass, field

from torch import nn

from fedgan.core.optimizers import OptimizerFactory
from fedgan.gan.losses import Objective
from fedgan.gan.proximal import Proximal


@dataclass(frozen=True)
class Recipe:
    """The parts of the local game.

    Attributes:
        discriminator: D at the first round, the same for every client.
        loss: the adversarial objective.
        optimizer_g: makes the generator's optimizer from its parameters.
        optimizer_d: likewise for the discriminator.
        shared_fakes: G learns from the synthetic images that D has just learned from, which saves one of G's two
            forward passes in a step; otherwise from new ones, as in the paper's first code.
        loss_samples: fresh latents over which a client measures Eq. 6 after its local round; 0 for not at all.
        arrival_samples: latents, the same for all clients, over which a client measures G's loss on the images of the
            generator that it was sent, before its local round; 0 for not at all.
        proximal: what draws G to the one that the server sent; nothing by default.
    """

    discriminator: nn.Module
    loss: Objective
    optimizer_g: OptimizerFactory
    optimizer_d: OptimizerFactory
    shared_fakes: bool = False
    loss_samples: int = 0
    arrival_samples: int = 0
    proximal: Proximal = field(default_factory=Proximal)
