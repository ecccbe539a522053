"""The penalty against finite differences and slopes known in closed form; what the defense changes in every client."""

from collections.abc import Callable

import pytest
import torch
from omegaconf import DictConfig
from torch import Tensor, nn

from fedgan.config.building.defenses import build_defenses
from fedgan.core.update import state_hash
from fedgan.defenses.gradient_penalty import GradientPenalty, with_instance_norm
from fedgan.gan.losses import NonSaturating, Wasserstein, gradient_penalty
from fedgan.models.dcgan import DCGANDiscriminator
from tests.helpers.federation import build

Configure = Callable[..., DictConfig]


def images(seed: int, count: int = 3) -> Tensor:
    return torch.randn(count, 1, 2, 2, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_gradients_of_the_penalty_against_finite_differences() -> None:
    """A two-layer net of five hidden units, in double precision."""
    rng = torch.Generator()
    first = torch.randn(4, 5, generator=rng.manual_seed(0), dtype=torch.float64, requires_grad=True)
    second = torch.randn(5, generator=rng.manual_seed(1), dtype=torch.float64, requires_grad=True)

    def penalty(first: Tensor, second: Tensor) -> Tensor:
        def critic(x: Tensor) -> Tensor:
            return torch.tanh(x.flatten(1) @ first) @ second

        return gradient_penalty(critic, images(2), images(3), torch.Generator().manual_seed(4))

    assert torch.autograd.gradcheck(penalty, (first, second))


def test_the_penalty_of_a_known_slope_wherever_it_is_taken() -> None:
    slope = torch.tensor([3.0, 4.0, 0.0, 0.0], dtype=torch.float64)
    value = gradient_penalty(lambda x: x.flatten(1) @ slope, images(0), images(1), torch.Generator())
    assert value.item() == pytest.approx((5.0 - 1.0) ** 2)


def test_the_penalty_is_taken_on_the_lines_between_real_and_synthetic_evenly() -> None:
    """D(x) = |x|^2 / 2 has the slope x itself: from the slopes' lengths the places can be read."""
    count = 4000
    real, fake = torch.full((count, 1, 1, 1), 3.0), torch.full((count, 1, 1, 1), 1.0)
    seen: list[Tensor] = []

    def critic(x: Tensor) -> Tensor:
        seen.append(x.detach().flatten())
        return x.flatten(1).square().sum(1) / 2

    value = gradient_penalty(critic, real, fake, torch.Generator().manual_seed(0))
    places = seen[0]
    assert 1.0 <= places.min() < 1.01
    assert 2.99 < places.max() <= 3.0
    assert places.mean().item() == pytest.approx(2.0, abs=0.03)
    assert value.item() == pytest.approx((places - 1).square().mean().item(), rel=1e-5)
    assert value.item() == pytest.approx(4 / 3, abs=0.06)  # the mean of (x - 1)^2 over [1, 3]


def test_the_penalty_weighs_lambda_in_the_discriminators_loss() -> None:
    def critic(x: Tensor) -> Tensor:
        return 3.0 * x.flatten(1).sum(1)  # slope 3 sqrt(4) = 6

    arguments = (critic, images(0), images(1))
    assert Wasserstein(10.0).penalty(*arguments, torch.Generator()).item() == pytest.approx(250.0)
    assert NonSaturating().penalty(*arguments, torch.Generator()) is None


def test_wasserstein_losses_by_hand() -> None:
    real, fake = torch.tensor([1.0, 3.0]), torch.tensor([0.0, -2.0])
    assert Wasserstein().discriminator(real, fake).item() == -3.0
    assert Wasserstein().generator(fake).item() == 1.0


def test_instance_norm_takes_the_place_of_batch_norm() -> None:
    discriminator = DCGANDiscriminator(num_classes=2, channels=1, image_size=32, base_channels=4)
    for part in discriminator.modules():
        if isinstance(part, nn.BatchNorm2d):  # as after some training
            nn.init.uniform_(part.weight, 0.5, 1.5)
            nn.init.normal_(part.bias)
    changed = with_instance_norm(discriminator)
    counts = [sum(isinstance(part, kind) for part in changed.modules()) for kind in (nn.BatchNorm2d, nn.InstanceNorm2d)]
    assert counts == [0, 2]
    assert not any(isinstance(part, nn.InstanceNorm2d) for part in discriminator.modules())
    weights = dict(discriminator.named_parameters())
    assert all(torch.equal(weights[name], tensor) for name, tensor in changed.named_parameters())
    # An image's logit is now its own affair: with BatchNorm it depends on the rest of the batch.
    pictures, labels = torch.rand(4, 1, 32, 32), torch.zeros(4, dtype=torch.int64)
    torch.testing.assert_close(changed(pictures, labels)[:1], changed(pictures[:1], labels[:1]))
    assert not torch.allclose(discriminator(pictures, labels)[:1], discriminator(pictures[:2], labels[:2])[:1])


def test_a_batch_norm_without_gains_gets_none_to_speak_of() -> None:
    """Ones and zeros in their place, and the same eps."""
    (norm,) = with_instance_norm(nn.Sequential(nn.BatchNorm2d(3, eps=0.1, affine=False)))
    pictures = torch.rand(2, 3, 4, 4)
    torch.testing.assert_close(norm(pictures), nn.functional.instance_norm(pictures, eps=0.1))


def test_every_client_trains_by_the_defenses_recipe(configure: Configure) -> None:
    cfg = configure("defense=gradient_penalty")
    federation = build(cfg, defenses=build_defenses(cfg))
    for client in federation.backend.clients:
        assert client.loss == Wasserstein(10.0)
        for optimizer in (client.optimizer_g, client.optimizer_d):
            assert isinstance(optimizer, torch.optim.RMSprop)
            assert optimizer.param_groups[0]["lr"] == 2e-4
        assert not any(isinstance(part, nn.BatchNorm2d) for part in client.discriminator.modules())
    owned = {id(p) for client in federation.backend.clients for p in client.discriminator.parameters()}
    assert len(owned) == sum(len(list(client.discriminator.parameters())) for client in federation.backend.clients)


def test_the_penalty_changes_what_discriminators_learn(configure: Configure) -> None:
    """Against the same game with a weight that is next to nothing: fails if the penalty is not in the loss."""

    def discriminator_after_a_round(*overrides: str) -> str:
        cfg = configure("defense=gradient_penalty", *overrides)
        federation = build(cfg, defenses=build_defenses(cfg))
        federation.backend.train_client(0, federation.this_round())
        return state_hash(federation.backend.clients[0].discriminator.state_dict())

    assert discriminator_after_a_round() == discriminator_after_a_round()
    assert discriminator_after_a_round() != discriminator_after_a_round("defense.gradient_penalty.weight=1e-9")


def test_the_models_own_optimizer_is_kept_on_request(configure: Configure) -> None:
    cfg = configure("defense=gradient_penalty", "defense.gradient_penalty.optimizer=null")
    federation = build(cfg, defenses=build_defenses(cfg))
    assert isinstance(federation.backend.clients[0].optimizer_d, torch.optim.Adam)


def test_together_with_detection(configure: Configure) -> None:
    cfg = configure("defense=[feddetect_code,gradient_penalty]", "defense.feddetect_code.warmup=0")
    defenses = build_defenses(cfg)
    assert list(defenses) == ["feddetect_code", "gradient_penalty"]
    assert build(cfg, defenses=defenses).backend.clients[0].loss == Wasserstein(10.0)


@pytest.mark.parametrize("weight", [0.0, -1.0, float("nan"), "ten", 1e6 + 1])
def test_a_weight_that_is_none(weight: float) -> None:
    with pytest.raises(ValueError, match=r"weight must be a number"):
        GradientPenalty(weight=weight)
