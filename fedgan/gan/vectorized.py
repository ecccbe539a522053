"""Clients trained together: their networks, equal in shape, run as one (``torch.func``), a step of each at a time.

Every client keeps its own weights, optimizers and random streams; only the order of the arithmetic differs from
training them one after the other, which tests compare it with (``fl/backend=serial``).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from fedgan.core.images import ImageSet, to_float
from fedgan.gan.client import GANClient, LossTally, shuffled_batches


class OwnNorms(TorchFunctionMode):
    """Normalization by torch's own kernels: with cuDNN torch asks for a memory format, of which vmap knows nothing."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func not in (F.batch_norm, F.instance_norm):
            return func(*args, **kwargs)
        (x, *rest), weight = args, kwargs["weight"]
        with torch.backends.cudnn.flags(enabled=False):
            # In float32, as the weights are: for bfloat16 vmap would convert the weights and not the statistics.
            return func(x if weight is None else x.to(weight.dtype), *rest, **kwargs)


def norms_on(device: torch.device) -> AbstractContextManager[Any]:
    """How mapped networks normalize there: ``OwnNorms`` on a GPU; a CPU needs no such thing, and it costs 2 to 3 %."""
    return OwnNorms() if device.type == "cuda" else nullcontext()


class Stack:
    """Modules of equal shape, seen as one that maps (N, B, ...) to (N, B, ...).

    While they are stacked, the modules' own parameters and buffers are views of the stack's, so that their own
    optimizers act on it.
    """

    def __init__(self, modules: Sequence[nn.Module]) -> None:
        self._template = modules[0]
        self._parameters = [dict(module.named_parameters()) for module in modules]
        self._buffers = [dict(module.named_buffers()) for module in modules]
        self._own = [[tensor.data for tensor in self._tensors(i)] for i in range(len(modules))]
        self.parameters = {name: self._side_by_side(self._parameters, name) for name in self._parameters[0]}
        self.buffers = {name: self._side_by_side(self._buffers, name) for name in self._buffers[0]}
        for parameter in self.parameters.values():
            parameter.requires_grad_(True)

    def __call__(self, *inputs: Any, learns: bool) -> Tensor:
        """The modules' outputs, (N, B, ...); with ``learns`` gradients reach the parameters."""

        def one(parameters: dict[str, Tensor], buffers: dict[str, Tensor], *own: Any) -> Any:
            return functional_call(self._template, (parameters, buffers), own)

        parameters = self.parameters if learns else {name: p.detach() for name, p in self.parameters.items()}
        with norms_on(next(iter(self.parameters.values())).device):
            outputs: Tensor = vmap(one)(parameters, self.buffers, *inputs)
        return outputs

    def hand_out_gradients(self) -> None:
        """Give each module's parameters their gradients, on top of those that they have, and forget the stack's."""
        for name, stacked in self.parameters.items():
            assert stacked.grad is not None, name
            for parameters, gradient in zip(self._parameters, stacked.grad, strict=True):
                had = parameters[name].grad
                parameters[name].grad = gradient if had is None else had + gradient
            stacked.grad = None

    def release(self) -> None:
        """Give the modules their own memory again, with the stack's values."""
        for i, own in enumerate(self._own):
            for tensor, memory in zip(self._tensors(i), own, strict=True):
                tensor.data = memory.copy_(tensor.data)

    def _tensors(self, i: int) -> list[Tensor]:
        return [*self._parameters[i].values(), *self._buffers[i].values()]

    @staticmethod
    def _side_by_side(each: Sequence[Mapping[str, Tensor]], name: str) -> Tensor:
        """A new tensor, (N, ...), of which each module's is a view; within it the strides are the module's own."""
        like = each[0][name].data
        size, strides = (len(each), *like.shape), (like.numel(), *like.stride())
        stacked = torch.empty_strided(size, strides, dtype=like.dtype, device=like.device)
        for place, tensors in zip(stacked, each, strict=True):
            tensors[name].data = place.copy_(tensors[name].data)
        return stacked


@contextmanager
def stacked(modules: Sequence[nn.Module]) -> Iterator[Stack]:
    """The modules as a ``Stack``, for as long as the context lasts."""
    stack = Stack(modules)
    try:
        yield stack
    finally:
        stack.release()


def train_together(
    clients: Sequence[GANClient],
    data: Sequence[ImageSet],
    *,
    epochs: int,
    batch_size: int,
    rngs: Sequence[torch.Generator],
    on_step: Callable[[int], None] = lambda place: None,
) -> list[dict[str, float]]:
    """``GANClient.train_locally`` for several clients at once; see there.

    Args:
        clients: with equal networks; their weights may differ.
        data: each client's images; who has more takes its last steps alone.
        epochs: local epochs.
        batch_size: images per step and client.
        rngs: each client's.
        on_step: called after each client's step with its place among the ``clients``.

    Returns:
        Each client's scalars, within the rounding of float32 those of ``train_locally``.
    """
    tallies = [LossTally() for _ in clients]
    for client in clients:
        client.begin_round()
    with (
        stacked([client.generator for client in clients]) as generators,
        stacked([client.discriminator for client in clients]) as discriminators,
    ):
        together = Together(clients, generators, discriminators)
        for _ in range(epochs):
            orders = [
                list(shuffled_batches(len(images), batch_size, rng)) for images, rng in zip(data, rngs, strict=True)
            ]
            common = min(len(order) for order in orders)
            for step in range(common):
                batches = [images.subset(order[step]) for images, order in zip(data, orders, strict=True)]
                for place, losses in enumerate(together.step(batches, rngs)):
                    tallies[place].add(losses)
                    on_step(place)
            for place, order in enumerate(orders):
                for indices in order[common:]:
                    rest = data[place].subset(indices)
                    tallies[place].add(clients[place].step(rest.images, rest.labels, rngs[place]))
                    on_step(place)
    return [tally.metrics() for tally in tallies]


class Together:
    """One local step of all clients: ``GANClient.step``, with a first dimension for the clients."""

    def __init__(self, clients: Sequence[GANClient], generators: Stack, discriminators: Stack) -> None:
        self.clients, self.generators, self.discriminators = clients, generators, discriminators
        self.shared_fakes = clients[0].shared_fakes

    def step(self, batches: Sequence[ImageSet], rngs: Sequence[torch.Generator]) -> list[dict[str, Tensor]]:
        """One update of every D and every G; each client's losses."""
        profiler = self.clients[0].profiler
        with profiler.profile("data"):
            each = zip(self.clients, batches, rngs, strict=True)
            real = torch.stack([client.transform_batch(to_float(b.images), rng) for client, b, rng in each])
            labels = torch.stack([batch.labels for batch in batches])
        with profiler.profile("D step"):
            fake = self._generate(labels, rngs, learns=self.shared_fakes)
            loss_d = self._discriminator_step(real, fake.detach(), labels, rngs)
        with profiler.profile("G step"):
            if not self.shared_fakes:
                fake = self._generate(labels, rngs, learns=True)
            loss_g = self._generator_step(fake, labels)
        return [{"loss_d": d, "loss_g": g} for d, g in zip(loss_d, loss_g, strict=True)]

    def _discriminator_step(
        self, real: Tensor, fake: Tensor, labels: Tensor, rngs: Sequence[torch.Generator]
    ) -> Tensor:
        for client in self.clients:
            client.optimizer_d.zero_grad(set_to_none=True)
        real_logits = self.discriminators(real, labels, learns=True)
        fake_logits = self.discriminators(fake, labels, learns=True)
        losses = vmap(self.clients[0].loss.discriminator)(real_logits, fake_logits)
        penalties = [self._penalty(*each) for each in zip(self.clients, real, fake, labels, rngs, strict=True)]
        if any(penalty is not None for penalty in penalties):
            losses = losses + torch.stack([penalty for penalty in penalties if penalty is not None])
        losses.sum().backward()  # type: ignore[no-untyped-call]
        self.discriminators.hand_out_gradients()
        for client in self.clients:
            client.optimizer_d.step()
        return losses.detach()

    @staticmethod
    def _penalty(client: GANClient, real: Tensor, fake: Tensor, labels: Tensor, rng: torch.Generator) -> Tensor | None:
        """A client's alone, by its own network: it differentiates inside."""
        return client.loss.penalty(lambda images: client.discriminator(images, labels), real, fake, rng)

    def _generator_step(self, fake: Tensor, labels: Tensor) -> Tensor:
        for client in self.clients:
            client.optimizer_g.zero_grad(set_to_none=True)
        logits = self.discriminators(fake, labels, learns=False)
        losses = vmap(self.clients[0].loss.generator)(logits)
        losses.sum().backward()  # type: ignore[no-untyped-call]
        self.generators.hand_out_gradients()
        for client in self.clients:
            client.optimizer_g.step()
        return losses.detach()

    def _generate(self, labels: Tensor, rngs: Sequence[torch.Generator], *, learns: bool) -> Tensor:
        """Every client draws from its own stream, as it would alone: first z, then the noises."""
        generator = self.clients[0].generator
        drawn = []
        for rng in rngs:
            z = torch.randn(labels.shape[1], generator.z_dim, generator=rng, device=labels.device)
            drawn.append((z, *generator.draw_noise(labels.shape[1], rng)))
        z, *noise = (torch.stack(parts) for parts in zip(*drawn, strict=True))
        return self.generators(z, labels, tuple(noise), learns=learns)
