"""The local step, by hand and under its own Trainer."""

import copy
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from pytorch_lightning import Trainer
from torch import Tensor, nn
from torch._dynamo.backends.debugging import aot_eager
from torch.utils.data import DataLoader, TensorDataset

from fedgan.core.images import to_float
from fedgan.core.update import state_hash
from fedgan.gan.client import GANClient, shuffled_batches
from fedgan.gan.losses import NonSaturating, Objective, Wasserstein
from fedgan.gan.recipe import Recipe
from fedgan.models.dcgan import DCGANDiscriminator, DCGANGenerator
from tests.helpers.by_hand import Scalar
from tests.helpers.images import random_images


def client(*, loss: Objective | None = None, shared_fakes: bool = False, **settings: Any) -> GANClient:
    shape = {"num_classes": 2, "channels": 1, "image_size": 32, "base_channels": 4}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        generator, discriminator = DCGANGenerator(**shape), DCGANDiscriminator(**shape)
    optimizers = {
        "optimizer_g": lambda p: torch.optim.Adam(p, lr=1e-3),
        "optimizer_d": lambda p: torch.optim.Adam(p, lr=1e-3),
    }
    loss = loss or NonSaturating()
    recipe = Recipe(discriminator=discriminator, loss=loss, shared_fakes=shared_fakes, **optimizers)
    return GANClient(generator=generator, recipe=recipe, **settings)


class Slope(nn.Module):
    """D(x, y): logit phi x."""

    def __init__(self) -> None:
        super().__init__()
        self.phi = nn.Parameter(torch.tensor(0.2))

    def forward(self, images: Tensor, labels: Tensor) -> Tensor:
        return self.phi * images.flatten()


@pytest.mark.parametrize("shared_fakes", [False, True])  # of no consequence here: G(z, y) does not depend on z
def test_a_step_is_equation_4_then_equation_5(shared_fakes: bool) -> None:
    """D ascends log D(x) + log(1 - D(G(z))); then G descends -log D(G(z)) against the new D; plain SGD, rate 1."""
    sgd = {"optimizer_g": lambda p: torch.optim.SGD(p, lr=1.0), "optimizer_d": lambda p: torch.optim.SGD(p, lr=1.0)}
    recipe = Recipe(discriminator=Slope(), loss=NonSaturating(), shared_fakes=shared_fakes, **sgd)
    one = GANClient(generator=Scalar(), recipe=recipe)
    white = torch.full((2, 1, 1, 1), 255, dtype=torch.uint8)  # x = +1
    losses = one.step(white, torch.zeros(2, dtype=torch.int64), torch.Generator().manual_seed(0))

    phi, theta = torch.tensor(0.2, requires_grad=True), torch.tensor(0.5, requires_grad=True)
    loss_d = -torch.log(torch.sigmoid(phi * 1.0)) - torch.log(1 - torch.sigmoid(phi * 0.5))
    loss_d.backward()
    new_phi = (phi - phi.grad).detach()  # type: ignore[operator]
    loss_g = -torch.log(torch.sigmoid(new_phi * theta))
    loss_g.backward()
    torch.testing.assert_close(one.discriminator.phi, new_phi)
    torch.testing.assert_close(one.generator.theta, (theta - theta.grad).detach())  # type: ignore[operator]
    torch.testing.assert_close(losses["loss_d"], loss_d.detach())
    torch.testing.assert_close(losses["loss_g"], loss_g.detach())


def test_a1_equation_6_by_hand() -> None:
    """log(1 - D(G(z))) of the networks as they are: D(G(z)) = sigmoid(0.2 * 0.5) = 0.52498, log(0.47502) = -0.7444."""
    sgd = {"optimizer_g": lambda p: torch.optim.SGD(p, lr=1.0), "optimizer_d": lambda p: torch.optim.SGD(p, lr=1.0)}
    one = GANClient(generator=Scalar(), recipe=Recipe(Slope(), NonSaturating(), **sgd, loss_samples=5))
    loss = one.final_loss(torch.zeros(3, dtype=torch.int64), batch_size=2, rng=torch.Generator().manual_seed(0))
    assert loss == pytest.approx(-0.7444, abs=5e-5)


def test_a1_equation_6_is_an_expectation_over_fresh_latents_and_the_clients_own_classes() -> None:
    """Against the mean of log(1 - sigmoid(logit)) over the images drawn one batch at a time by an independent loop."""
    one = client()
    one.loss_samples = 40
    labels = torch.tensor([1, 1, 1, 0])
    measured = one.final_loss(labels, batch_size=8, rng=torch.Generator().manual_seed(2))
    rng, values, asked = torch.Generator().manual_seed(2), [], []
    for _ in range(5):
        y = labels[torch.randint(4, (8,), generator=rng)]
        z = torch.randn(8, one.generator.z_dim, generator=rng)
        with torch.no_grad():
            values.append(torch.log(1 - torch.sigmoid(one.discriminator(one.generator(z, y), y).double())))
        asked.append(y)
    assert measured == pytest.approx(float(torch.cat(values).mean()), rel=1e-5)
    assert 0.6 < float(torch.cat(asked).double().mean()) < 0.9, "classes as often as the client has them"
    assert measured != one.final_loss(labels, batch_size=8, rng=torch.Generator().manual_seed(3))


def test_a1_measuring_it_changes_nothing() -> None:
    """Neither weights nor the running statistics of BatchNorm, which a forward pass in training moves."""
    one = client()
    one.loss_samples = 16
    before = [state_hash(m.state_dict()) for m in (one.generator, one.discriminator)]
    one.final_loss(torch.tensor([0, 1]), batch_size=8, rng=torch.Generator().manual_seed(0))
    assert [state_hash(m.state_dict()) for m in (one.generator, one.discriminator)] == before
    assert all(p.grad is None for p in one.parameters())


def test_metrics_are_means_and_the_last_step() -> None:
    one, other = client(), client()
    data = random_images(24)
    metrics = one.train_locally(data, epochs=2, batch_size=8, rng=torch.Generator().manual_seed(3))
    rng = torch.Generator().manual_seed(3)
    other.train()
    steps = [
        other.step(data.images[batch], data.labels[batch], rng)
        for _ in range(2)
        for batch in shuffled_batches(24, 8, rng)
    ]
    assert len(steps) == 6
    for name in ("loss_g", "loss_d"):
        assert metrics[name] == pytest.approx(sum(float(step[name]) for step in steps) / 6, rel=1e-5)
    assert metrics["loss_g_last"] == float(steps[-1]["loss_g"])


def test_a_defense_touches_real_images_and_no_synthetic_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Tensor] = []
    one = client(transform_batch=lambda images, rng: -images)
    forward = one.discriminator.forward

    def watched(images: Tensor, labels: Tensor) -> Tensor:
        seen.append(images.detach())
        return forward(images, labels)

    monkeypatch.setattr(one.discriminator, "forward", watched)
    images = random_images(8)
    one.step(images.images, images.labels, torch.Generator().manual_seed(0))
    assert len(seen) == 3, "real and fake for D, fake for G"
    torch.testing.assert_close(seen[0], -to_float(images.images))
    z = torch.randn(8, 64, generator=torch.Generator().manual_seed(0))
    fresh = client()
    fresh.train()
    with torch.no_grad():
        torch.testing.assert_close(seen[1], fresh.generator(z, images.labels), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("shared_fakes", [False, True])
def test_the_generator_learns_from_new_images_or_from_those_that_the_discriminator_saw(
    shared_fakes: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = client(shared_fakes=shared_fakes)
    generate, judge = one.generator.forward, one.discriminator.forward
    made: list[Tensor] = []
    seen: list[Tensor] = []

    def watched_generator(*inputs: Any) -> Tensor:
        made.append(generate(*inputs))
        return made[-1]

    def watched_discriminator(images: Tensor, labels: Tensor) -> Tensor:
        seen.append(images)
        return judge(images, labels)

    monkeypatch.setattr(one.generator, "forward", watched_generator)
    monkeypatch.setattr(one.discriminator, "forward", watched_discriminator)
    images = random_images(8)
    one.step(images.images, images.labels, torch.Generator().manual_seed(0))
    _, fake_for_d, fake_for_g = seen
    assert len(made) == (1 if shared_fakes else 2)
    assert torch.equal(fake_for_d, fake_for_g) == shared_fakes
    assert not fake_for_d.requires_grad
    assert fake_for_g.requires_grad
    assert made[0].requires_grad == shared_fakes, "no graph is kept where none is used"


def test_the_generators_step_leaves_the_discriminator_alone() -> None:
    one = client()
    one.train()
    before = copy.deepcopy(one.discriminator.state_dict())
    labels = torch.tensor([0, 1, 0, 1])
    one._generator_step(one._generate(labels, torch.Generator().manual_seed(0)), labels, one.optimizer_g)
    parameters = dict(one.discriminator.named_parameters())
    assert all(torch.equal(parameters[name], before[name]) for name in parameters)
    assert all(p.grad is None and p.requires_grad for p in parameters.values())


def compiled_by(backend: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> list[torch.fx.GraphModule]:
    """Have torch.compile hand what it traces to ``backend``, which needs no C++ compiler; the list grows with each."""
    traced: list[torch.fx.GraphModule] = []

    def watched(module: torch.fx.GraphModule, inputs: Sequence[Tensor]) -> Any:
        traced.append(module)
        return backend(module, inputs)

    torch.compiler.reset()
    compile_module = torch.compile
    monkeypatch.setattr(torch, "compile", lambda part, mode: compile_module(part, backend=watched))
    return traced


@pytest.mark.parametrize("shared_fakes", [False, True])
@pytest.mark.parametrize("loss", [NonSaturating(), Wasserstein()])
def test_compiled_networks_take_the_same_step(
    loss: Objective, shared_fakes: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Traced and differentiated as torch.compile does it, but run by torch: a C++ compiler is no requirement."""
    traced = compiled_by(aot_eager, monkeypatch)
    settings: dict[str, Any] = {"loss": loss, "shared_fakes": shared_fakes}
    plain, compiled = client(**settings), client(**settings, compile_mode="default")
    assert compiled.state_dict().keys() == plain.state_dict().keys()
    data = random_images(8)
    for one in (plain, compiled):
        one.train_locally(data, epochs=2, batch_size=4, rng=torch.Generator().manual_seed(0))
    assert traced
    for name, tensor in plain.state_dict().items():
        torch.testing.assert_close(compiled.state_dict()[name], tensor, rtol=1e-3, atol=1e-4, msg=name)


@pytest.mark.parametrize("shared_fakes", [False, True])
def test_clients_share_what_is_compiled(shared_fakes: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Networks of their own, but compiled once: beyond a few times torch.compile gives up and says nothing."""
    traced = compiled_by(lambda module, inputs: module, monkeypatch)
    data = random_images(8)
    for seed in range(10):
        one = client(shared_fakes=shared_fakes, compile_mode="default")
        one.train_locally(data, epochs=1, batch_size=4, rng=torch.Generator().manual_seed(seed))
    # G as it learns, and as it only shows D; D for images as they are, and for G that learns from it.
    assert len(traced) == (3 if shared_fakes else 4)


def test_every_image_is_used_once_an_epoch() -> None:
    batches = list(shuffled_batches(17, 4, torch.Generator().manual_seed(0)))
    used = torch.cat(batches).tolist()
    assert [len(batch) for batch in batches] == [4] * 4
    assert len(set(used)) == 16
    assert used != sorted(used)


@pytest.mark.parametrize("shared_fakes", [False, True])
def test_it_trains_alone_under_a_trainer(shared_fakes: bool, tmp_path: Path) -> None:
    """The centralized baseline."""
    images = random_images(32)
    loader = DataLoader(TensorDataset(images.images, images.labels), batch_size=8)
    one = client(shared_fakes=shared_fakes)
    start = {kind: state_hash(getattr(one, kind).state_dict()) for kind in ("generator", "discriminator")}
    trainer = Trainer(
        accelerator="cpu",
        max_epochs=2,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=tmp_path,
    )
    trainer.fit(one, loader)
    assert trainer.global_step == 2 * 4 * 2, "Lightning counts the steps of both optimizers"
    assert all(state_hash(getattr(one, kind).state_dict()) != before for kind, before in start.items())
    assert trainer.callback_metrics["loss_g"].isfinite()


def test_profiled_steps_are_named(configure: Callable[..., Any]) -> None:
    from pytorch_lightning.profilers import SimpleProfiler

    one = client()
    one.profiler = profiler = SimpleProfiler()
    images = random_images(8)
    one.step(images.images, images.labels, torch.Generator().manual_seed(0))
    assert {"data", "D step", "G step"} <= set(profiler.recorded_durations)
