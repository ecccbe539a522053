"""Images that the server draws with clients' generators: theirs, and nobody notices."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from omegaconf import DictConfig

from fedgan.core.latents import balanced_latents
from fedgan.core.round import Round
from fedgan.core.update import ClientUpdate, State, state_hash
from fedgan.defenses.base import Defense
from fedgan.federated import rendering
from fedgan.federated.rendering import GeneratorRenderer
from fedgan.federated.server import Server
from fedgan.federated.weighting import Uniform
from fedgan.models.dcgan import DCGANGenerator
from tests.helpers.federation import DCGAN, SMALL, STYLEGAN2, build, fit

Configure = Callable[..., DictConfig]


@pytest.mark.parametrize("model", [SMALL, DCGAN, STYLEGAN2], ids=["small", "dcgan", "stylegan2"])
@pytest.mark.parametrize("trains", [True, False])
def test_it_draws_what_the_generator_itself_would(configure: Configure, model: tuple[str, ...], trains: bool) -> None:
    data = ("dataset.image_size=32", "dataset.train_per_class=16", "dataset.test_per_class=4")
    own, other = (build(configure(*data, *model, f"seed={seed}", tiny=False)).generator for seed in (0, 1))
    request = balanced_latents(2, 3, seed=0)
    z = request.latents(own.z_dim)
    before, state = state_hash(own.state_dict()), other.state_dict()
    own.train(trains)
    drawn = GeneratorRenderer(own, num_classes=2)(state, z, request.labels)
    assert own.training is trains
    assert state_hash(own.state_dict()) == before, "batch statistics too"
    with torch.no_grad():
        expected = other.eval()(z, request.labels)
    torch.testing.assert_close(drawn, expected, rtol=0, atol=0)
    assert not drawn.requires_grad
    assert not torch.equal(drawn, GeneratorRenderer(own, num_classes=2)(own.state_dict(), z, request.labels))


def test_an_error_leaves_the_generator_in_its_mode(configure: Configure) -> None:
    generator = build(configure(*SMALL)).generator.train()
    with pytest.raises((RuntimeError, IndexError)):
        GeneratorRenderer(generator, 2)(generator.state_dict(), torch.zeros(2, 1), torch.tensor([0, 1]))
    assert generator.training


class Looks(Defense):
    """Draws a few images with each client's generator and changes nothing."""

    def __init__(self) -> None:
        self.seen: list[dict[int, State]] = []

    def filter(self, updates: list[ClientUpdate], round_: Round) -> list[ClientUpdate]:
        assert round_.renderer is not None
        draw = round_.renderer
        z, labels = torch.ones(2, draw.z_dim), torch.arange(draw.num_classes)
        self.seen.append({u.client_id: {"images": draw(u.state, z, labels)} for u in updates})
        return updates


def test_a_defense_may_look_and_the_federation_stays_as_it_was(configure: Configure, tmp_path: Path) -> None:
    looks, plain = Looks(), build(configure(*SMALL))
    watched = build(configure(*SMALL), defenses={"looks": looks})
    fit(plain, tmp_path, rounds=2)
    fit(watched, tmp_path, rounds=2, server=Server({"looks": looks}, Uniform()))
    assert state_hash(plain.generator.state_dict()) == state_hash(watched.generator.state_dict())
    assert [sorted(seen) for seen in looks.seen] == [[0, 1, 2, 3]] * 2
    hashes = {state_hash(images) for seen in looks.seen for images in seen.values()}
    assert len(hashes) == 8, "every client's own, and another in each round"


def test_how_a_state_lies_in_memory_changes_no_bit() -> None:
    """What another process sends has lost the layout that it had, and kernels round otherwise for another one."""
    generator = DCGANGenerator(num_classes=2, channels=1, image_size=32, base_channels=16)
    draw = GeneratorRenderer(generator.to(memory_format=torch.channels_last), num_classes=2)  # type: ignore[call-overload]
    state = {name: tensor.clone() for name, tensor in draw.generator.state_dict().items()}
    sent = {name: tensor.contiguous() for name, tensor in state.items()}
    assert any(tensor.stride() != sent[name].stride() for name, tensor in state.items())
    z, labels = torch.randn(16, draw.z_dim, generator=torch.Generator().manual_seed(0)), torch.arange(16) % 2
    assert torch.equal(draw(sent, z, labels), draw(state, z, labels))


def test_large_images_are_drawn_some_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two images of 32 x 32 at once: five take three calls, and are the same."""
    torch.manual_seed(0)
    generator = DCGANGenerator(num_classes=2, channels=1, image_size=32, z_dim=8, base_channels=4, norm="pixel")
    z, labels = torch.randn(5, 8), torch.tensor([0, 1, 0, 1, 1])
    whole, calls = GeneratorRenderer(generator, 2)(generator.state_dict(), z, labels), list[int]()
    monkeypatch.setattr(rendering, "PIXELS_AT_ONCE", 2 * 32 * 32)
    generator.register_forward_hook(lambda module, inputs, output: calls.append(len(output)))
    torch.testing.assert_close(GeneratorRenderer(generator, 2, image_size=32)(generator.state_dict(), z, labels), whole)
    assert calls == [2, 2, 1]
    assert GeneratorRenderer(generator, 2, image_size=256).at_once == 1  # at least


def test_a_federation_draws_by_the_size_of_its_images(configure: Configure) -> None:
    federation = build(configure(*SMALL, "dataset.image_size=32"))
    assert federation.renderer.at_once == rendering.PIXELS_AT_ONCE // 32**2
