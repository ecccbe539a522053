"""FedProx: the term's gradient by hand, and nowhere in what clients report; both engines: test_vectorized.py."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import DictConfig
from torch import nn

from fedgan.config import training
from fedgan.core.update import state_hash
from fedgan.gan.client import GANClient
from fedgan.gan.losses import NonSaturating
from fedgan.gan.proximal import Proximal
from fedgan.gan.recipe import Recipe
from fedgan.models.dcgan import DCGANDiscriminator, DCGANGenerator
from tests.helpers.federation import DCGAN, build
from tests.helpers.images import random_images
from tests.helpers.runs import outcome, resume

Configure = Callable[..., DictConfig]
SGD = partial(torch.optim.SGD, lr=0.01)
DATA = ("dataset.image_size=32", "dataset.train_per_class=34", "dataset.test_per_class=4", "fl.batch_size=8")


def client(proximal: Proximal, optimizer: Callable[..., torch.optim.Optimizer] = SGD) -> GANClient:
    shape = {"num_classes": 2, "channels": 1, "image_size": 32, "base_channels": 4}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        generator, discriminator = DCGANGenerator(**shape), DCGANDiscriminator(**shape)
    recipe = Recipe(discriminator, NonSaturating(), optimizer, optimizer, proximal=proximal)
    return GANClient(generator=generator, recipe=recipe)


def trained(proximal: Proximal, **settings: Any) -> tuple[GANClient, dict[str, float]]:
    one = client(proximal, **settings)
    rng = torch.Generator().manual_seed(1)
    return one, one.train_locally(random_images(24), epochs=2, batch_size=8, rng=rng)


def moved(one: GANClient) -> float:
    """How far its generator is from where all begin."""
    start = dict(client(Proximal()).generator.named_parameters())
    changes = [(p - start[name]).detach() for name, p in one.generator.named_parameters()]
    return sum(float(change.square().sum()) for change in changes) ** 0.5


@pytest.mark.parametrize(("decoupled", "gradient", "weight"), [(False, 1.1, 1.45), (True, 1.0, 1.475)])
def test_by_hand(decoupled: bool, gradient: float, weight: float) -> None:
    """w = 2, w_G = 1, mu = 0.1, a gradient of 1, SGD with 0.5: 2 - 0.5 (1 + 0.1); decoupled 1.5 - 0.5 0.1 (1.5 - 1)."""
    parameter = nn.Parameter(torch.tensor(1.0, dtype=torch.float64))
    sgd = torch.optim.SGD([parameter], lr=0.5)
    assert Proximal(mu=0.1, decoupled=decoupled).anchor([parameter], sgd) is not None
    parameter.data.fill_(2.0)
    parameter.grad = torch.tensor(1.0, dtype=torch.float64)
    sgd.step()
    assert parameter.grad.item() == pytest.approx(gradient)
    assert parameter.item() == pytest.approx(weight)


def test_without_a_gradient_by_hand() -> None:
    """Nothing but the pull: 2 - 0.5 * 0.1 * (2 - 1) = 1.95 in both ways."""
    for decoupled in (False, True):
        parameter = nn.Parameter(torch.tensor(1.0))
        sgd = torch.optim.SGD([parameter], lr=0.5)
        Proximal(mu=0.1, decoupled=decoupled).anchor([parameter], sgd)
        parameter.data.fill_(2.0)
        parameter.grad = torch.tensor(0.0)
        sgd.step()
        assert parameter.item() == pytest.approx(1.95)


def test_adam_rescales_the_coupled_term_alone() -> None:
    """Its first step is lr long whatever the gradient; the decoupled pull is lr mu (w - w_G) still."""
    ends = []
    for decoupled in (False, True):
        parameter = nn.Parameter(torch.tensor(1.0))
        adam = torch.optim.Adam([parameter], lr=0.1)
        Proximal(mu=0.5, decoupled=decoupled).anchor([parameter], adam)
        parameter.data.fill_(2.0)
        parameter.grad = torch.tensor(0.0)
        adam.step()
        ends.append(parameter.item())
    assert ends == pytest.approx([1.9, 1.95])


def test_the_generators_gradient_is_that_of_the_loss_with_the_term() -> None:
    """Against autograd on mu/2 |G - G_server|^2 itself; D has no such term."""
    one, mu = client(Proximal(mu=0.7)), 0.7
    one.begin_round()
    start = [p.detach().clone() for p in one.generator.parameters()]
    with torch.no_grad():
        for p in one.generator.parameters():
            p.add_(0.1)
    before = [p.detach().clone() for p in one.generator.parameters()]
    leaves = [p.detach().clone().requires_grad_() for p in before]
    (mu / 2 * sum((p - s).square().sum() for p, s in zip(leaves, start, strict=True))).backward()  # type: ignore[union-attr]
    for p in one.generator.parameters():
        p.grad = torch.zeros_like(p)
    one.optimizer_g.step()
    for p, b, leaf in zip(one.generator.parameters(), before, leaves, strict=True):
        assert leaf.grad is not None
        torch.testing.assert_close(p.detach(), b - 0.01 * leaf.grad)
    assert not one.optimizer_d._optimizer_step_pre_hooks


@pytest.mark.parametrize("decoupled", [False, True])
def test_a_large_mu_keeps_the_generator_where_the_server_sent_it(decoupled: bool) -> None:
    """The further, the smaller mu; D learns as freely as without it."""
    free, near, nearest = (moved(trained(Proximal(mu, decoupled))[0]) for mu in (0.0, 10.0, 90.0))
    assert free > near > nearest > 0
    assert nearest < 0.8 * free


def test_each_round_has_its_own_anchor() -> None:
    """What the server sends next is what G is drawn to then."""
    one, _ = trained(Proximal(mu=90.0))
    with torch.no_grad():
        for p in one.generator.parameters():
            p.add_(5.0)
    sent = [p.detach().clone() for p in one.generator.parameters()]
    one.train_locally(random_images(24), epochs=1, batch_size=8, rng=torch.Generator().manual_seed(2))
    away = [float((p - s).abs().max()) for p, s in zip(one.generator.parameters(), sent, strict=True)]
    assert max(away) < 1.0


def test_reported_losses_are_those_without_the_term() -> None:
    """Of the first step, which begins where the server's is: the same. Later ones are losses of other weights."""
    one, other = client(Proximal()), client(Proximal(mu=50.0))
    images = random_images(8)
    losses = []
    for each in (one, other):
        each.begin_round()
        with torch.no_grad():
            for p in each.generator.parameters():
                p.add_(0.05)  # away from the anchor, so that the term is not 0
        losses.append(each.step(images.images, images.labels, torch.Generator().manual_seed(0)))
    assert {name: float(value) for name, value in losses[0].items()} == {n: float(v) for n, v in losses[1].items()}
    assert state_hash(one.generator.state_dict()) != state_hash(other.generator.state_dict()), "the term did act"


def test_mu_0_is_the_client_as_it_was() -> None:
    """No hook, no copy, the same bits."""
    plain = client(Proximal(mu=0.0, decoupled=True))
    assert plain.anchor is None
    assert not plain.optimizer_g._optimizer_step_pre_hooks
    assert not plain.optimizer_g._optimizer_step_post_hooks
    recipe = Recipe(DCGANDiscriminator, NonSaturating(), SGD, SGD)  # type: ignore[arg-type]
    assert Proximal().adapt(recipe) is recipe
    assert Proximal().adapt(object()) is not None, "an algorithm with another recipe is left alone"


@pytest.mark.parametrize("mu", [-1, float("nan"), "much", 2e6])
def test_what_is_out_of_range_is_refused(mu: Any) -> None:
    with pytest.raises(ValueError, match=r"^mu must be a number in \[0, 1e\+06\]; got"):
        Proximal(mu=mu)


def test_the_setting_reaches_the_clients_and_its_control_is_another(configure: Configure) -> None:
    near, free = (build(configure(*DATA, *DCGAN, f"fl.proximal.mu={mu}", tiny=False)) for mu in (100, 0))
    away = []
    for federation in (near, free):
        reference = federation.this_round()
        (update,) = federation.backend.train_clients([0], reference)
        away.append(sum(float(d.square().sum()) for d in reference.delta(update.state).values()))
    assert away[0] < 0.9 * away[1]


def test_a_run_with_it_that_is_resumed_ends_the_same(configure: Configure, tmp_path: Path) -> None:
    training.train(configure("fl.proximal.mu=1", "fl.rounds=3"), tmp_path / "straight")
    training.train(configure("fl.proximal.mu=1", "fl.rounds=1"), tmp_path / "run")
    resume(configure, tmp_path / "run", "fl.rounds=3")
    assert outcome(tmp_path / "run") == outcome(tmp_path / "straight")


def test_a_run_of_before_has_none(configure: Configure) -> None:
    cfg = configure(*DATA, *DCGAN, tiny=False)
    del cfg.fl.proximal
    assert build(cfg).backend.clients[0].anchor is None
