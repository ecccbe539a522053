"""A federated GAN as a researcher writes it down in an hour: what ``overhead`` checks and measures fedgan against.

Only models, images and the named random streams are shared with fedgan, so that both draw the same numbers.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fedgan.core.images import ImageSet, to_float
from fedgan.core.optimizers import OptimizerFactory
from fedgan.core.rng import keyed_generator
from fedgan.models.base import Generator


@dataclass
class Hospital:
    """A client: its copy of G, its own D, their optimizers, and its images."""

    generator: Generator
    discriminator: nn.Module
    optimizer_g: torch.optim.Optimizer
    optimizer_d: torch.optim.Optimizer
    data: ImageSet


class PlainLoop:
    """Federated averaging of a non-saturating GAN: every client takes part in every round, for one local epoch.

    Args:
        generator: the global one at round 0.
        discriminator: every client's at round 0.
        optimizer_g: makes the optimizer of a client's generator.
        optimizer_d: likewise for the discriminator.
        data: each client's images.
        batch_size: images a local step.
        seed: of every random stream.
    """

    def __init__(
        self,
        generator: Generator,
        discriminator: nn.Module,
        optimizer_g: OptimizerFactory,
        optimizer_d: OptimizerFactory,
        data: Sequence[ImageSet],
        batch_size: int,
        seed: int,
    ) -> None:
        self.generator, self.batch_size, self.seed, self.rounds = generator, batch_size, seed, 0
        self.clients = []
        for images in data:
            g, d = copy.deepcopy(generator), copy.deepcopy(discriminator)
            self.clients.append(Hospital(g, d, optimizer_g(g.parameters()), optimizer_d(d.parameters()), images))

    def round(self) -> None:
        """Send G out, train every client for an epoch, average."""
        for i, client in enumerate(self.clients):
            client.generator.load_state_dict(self.generator.state_dict())
            rng = keyed_generator(self.seed, "client", i, "round", self.rounds)
            order = torch.randperm(len(client.data), generator=rng)
            for start in range(0, len(order) - self.batch_size + 1, self.batch_size):
                batch = order[start : start + self.batch_size]
                images = to_float(client.data.images[batch]).contiguous(memory_format=torch.channels_last)
                train_step(client, images, client.data.labels[batch], rng)
        self.average()
        self.rounds += 1

    @torch.no_grad()
    def average(self) -> None:
        """G becomes the mean of the clients' generators, by a step of length one against G - mean."""
        states = [client.generator.state_dict() for client in self.clients]
        parameters = dict(self.generator.named_parameters())
        for name, tensor in self.generator.state_dict().items():
            mean = torch.zeros_like(tensor, dtype=torch.float64)
            for state in states:
                mean.add_(state[name].double(), alpha=1 / len(states))
            new = (mean if tensor.is_floating_point() else mean.round()).to(tensor.dtype)
            if name in parameters:
                tensor.sub_(tensor - new)  # not always ``new`` to the last bit
            else:
                tensor.copy_(new)


def train_step(client: Hospital, images: Tensor, labels: Tensor, rng: torch.Generator) -> None:
    """One update of D and one of G on a batch of real images in [-1, 1], (B, C, H, W), and its labels, (B,)."""
    g, d = client.generator, client.discriminator
    with torch.no_grad():
        fake = g(torch.randn(len(labels), g.z_dim, generator=rng), labels, g.draw_noise(len(labels), rng))
    loss_d = F.softplus(-d(images, labels)).mean() + F.softplus(d(fake, labels)).mean()
    client.optimizer_d.zero_grad()
    loss_d.backward()  # type: ignore[no-untyped-call]
    client.optimizer_d.step()

    d.requires_grad_(False)
    fake = g(torch.randn(len(labels), g.z_dim, generator=rng), labels, g.draw_noise(len(labels), rng))
    loss_g = F.softplus(-d(fake, labels)).mean()
    client.optimizer_g.zero_grad()
    loss_g.backward()  # type: ignore[no-untyped-call]
    client.optimizer_g.step()
    d.requires_grad_(True)
