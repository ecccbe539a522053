"""Flips and rotations: against torchvision, on every client's batches, never on the stored images."""

import math
from collections.abc import Callable

import pytest
import torch
from omegaconf import DictConfig
from torch import Tensor
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as v2

from fedgan.config.building.defenses import build_defenses
from fedgan.core.update import state_hash
from fedgan.defenses.base import Defense
from fedgan.defenses.horizontal_flip import HorizontalFlip
from fedgan.defenses.rotation import Rotation, rotate
from tests.helpers.federation import build

Configure = Callable[..., DictConfig]


def pictures(count: int, size: int = 16, channels: int = 1) -> Tensor:
    return torch.rand(count, channels, size, size, generator=torch.Generator().manual_seed(0)) * 2 - 1


def transformed(defense: Defense, images: Tensor, seed: int = 0) -> Tensor:
    return defense.transform_batch(images, torch.Generator().manual_seed(seed))


def test_half_of_the_images_are_mirrored_each_by_itself() -> None:
    images = pictures(1000, size=4)
    flipped = transformed(HorizontalFlip(), images)
    mirrored = torch.tensor([torch.equal(a, b.flip(-1)) for a, b in zip(flipped, images, strict=True)])
    same = torch.tensor([torch.equal(a, b) for a, b in zip(flipped, images, strict=True)])
    assert (mirrored ^ same).all()
    assert 450 < int(mirrored.sum()) < 550
    assert torch.equal(transformed(HorizontalFlip(probability=1.0), images), images.flip(-1))


@pytest.mark.parametrize("degrees", [-90, -37.5, 0, 12, 45, 90])
def test_rotation_is_torchvisions(degrees: float) -> None:
    images = pictures(2, size=17, channels=3)
    rotated = rotate(images, torch.full((2,), math.radians(degrees)))
    theirs = v2.rotate(images + 1, degrees, interpolation=InterpolationMode.BILINEAR, fill=0.0) - 1
    # Where the image's edge is blended with what is outside, torchvision darkens twice.
    inside = rotate(torch.ones_like(images), torch.full((2,), math.radians(degrees))) > 1 - 1e-4
    assert inside.float().mean() > 0.6
    torch.testing.assert_close(rotated[inside], theirs[inside], atol=1e-4, rtol=0)


def test_angles_are_uniform_between_the_bounds() -> None:
    """A bright spot right of the center: where it ends up shows the angle."""
    image = torch.full((1, 1, 65, 65), -1.0)
    image[..., 32, 60] = 1.0
    turned = transformed(Rotation(), image.expand(2000, -1, -1, -1)).flatten(1) + 1
    places = torch.arange(65.0) - 32
    y = (turned.view(-1, 65, 65).sum(2) * -places).sum(1)
    x = (turned.view(-1, 65, 65).sum(1) * places).sum(1)
    angles = torch.rad2deg(torch.atan2(y, x))
    assert angles.abs().max() <= 91
    assert angles.min() < -88
    assert angles.max() > 88
    assert abs(angles.mean().item()) < 3
    assert angles.std().item() == pytest.approx(180 / math.sqrt(12), rel=0.05)  # of the uniform distribution
    narrow = transformed(Rotation(degrees=1e-3), image)
    torch.testing.assert_close(narrow, image, atol=1e-2, rtol=0)


def test_what_comes_in_from_outside_is_black_and_values_stay_in_range() -> None:
    turned = rotate(torch.ones(1, 1, 8, 8), torch.tensor([math.pi / 4]))
    assert turned[0, 0, 0, 0] == -1.0
    assert turned[0, 0, 4, 4] == pytest.approx(1.0)
    assert turned.min() >= -1.0
    assert turned.max() <= 1.0 + 1e-6


@pytest.mark.parametrize("name", ["horizontal_flip", "rotation"])
def test_every_clients_batches_are_changed_and_never_its_stored_images(name: str, configure: Configure) -> None:
    plain = build(configure())
    cfg = configure(f"defense={name}")
    defended = build(cfg, defenses=build_defenses(cfg))
    for i in range(4):
        before = defended.backend.data[i].at(0).fingerprint
        batch = torch.rand(8, 1, 32, 32) * 2 - 1
        assert not torch.equal(defended.backend.clients[i].transform_batch(batch, torch.Generator()), batch)
        assert torch.equal(plain.backend.clients[i].transform_batch(batch, torch.Generator()), batch)
        assert state_hash(defended.backend.train_client(i, defended.this_round()).state) != state_hash(
            plain.backend.train_client(i, plain.this_round()).state
        )
        assert before == plain.backend.data[i].at(0).fingerprint
        images = defended.backend.data[i].at(0)
        assert type(images)(images.images, images.labels, images.classes).fingerprint == before  # hashed anew


def test_both_at_once_each_does_its_part(configure: Configure) -> None:
    cfg = configure("defense=[horizontal_flip,rotation]", "defense.horizontal_flip.probability=1.0")
    client = build(cfg, defenses=build_defenses(cfg)).backend.clients[0]
    batch = pictures(4)
    rng = torch.Generator().manual_seed(5)
    expected = Rotation().transform_batch(HorizontalFlip(probability=1.0).transform_batch(batch, rng), rng)
    assert torch.equal(client.transform_batch(batch, torch.Generator().manual_seed(5)), expected)


@pytest.mark.parametrize(
    ("build_defense", "words"),
    [
        (
            lambda: HorizontalFlip(probability=0.0),
            r"probability must be a number in \(0, 1\]",
        ),
        (lambda: HorizontalFlip(probability=1.1), "1.1"),
        (lambda: Rotation(degrees=0.0), r"degrees must be a number in \(0, 180\]"),
        (lambda: Rotation(degrees=181.0), "181"),
    ],
)
def test_bad_settings(build_defense: Callable[[], Defense], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        build_defense()
