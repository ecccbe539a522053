"""Blended: the key's share of every pixel."""

import numpy as np
import pytest
import torch

from fedgan.attacks.blended import Blend, Blended
from tests.helpers.images import random_images


def rng() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@pytest.mark.parametrize("channels", [1, 3])
def test_the_images_are_numpys_blend_rounded_half_to_even(channels: int) -> None:
    images = random_images(40, channels=channels)
    trigger = Blended(alpha=0.25, cells=8).trigger(channels, 32, seed=1)
    expected = np.rint(0.75 * images.images.numpy().astype(np.float64) + 0.25 * trigger.key.numpy())
    assert trigger.apply(images.images).numpy().tolist() == expected.astype(np.uint8).tolist()


def test_100_and_200_at_a_fifth_give_120_and_a_half_goes_to_the_even_number() -> None:
    """BackdoorBench cuts the fraction off; with it 3 / 4 of 1 + 1 / 4 of 3 would stay 1, and 2.5 would not be 2."""
    key, gray = torch.full((1, 2, 2), 200, dtype=torch.uint8), torch.full((1, 1, 2, 2), 100, dtype=torch.uint8)
    assert Blend(key, 0.2).apply(gray).unique().tolist() == [120]
    levels = torch.tensor([1, 2, 3, 4], dtype=torch.uint8).reshape(1, 1, 2, 2)
    assert Blend(torch.zeros_like(key), 0.5).apply(levels).flatten().tolist() == [0, 1, 2, 2]


def test_the_key_depends_on_the_seed_alone_and_is_noise_with_a_cell_for_each_pixel() -> None:
    attack = Blended(alpha=0.2, cells=64)
    first, again, other = (attack.trigger(3, 32, seed).key for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    x = first.double()
    assert abs(float(np.corrcoef(x[..., 1:].flatten(), x[..., :-1].flatten())[0, 1])) < 0.05


def test_a_share_of_the_images_is_poisoned() -> None:
    images, attack = random_images(20), Blended(alpha=0.2, cells=4, poison_share=0.25)
    poisoned = attack.poison(images, attack.trigger(1, 32, 0), rng())
    assert int((poisoned.images != images.images).flatten(1).any(dim=1).sum()) == 5
    assert torch.equal(poisoned.labels, images.labels)
    assert str(attack) == "a blended key image (alpha 0.2)"


@pytest.mark.parametrize("alpha", [0, 1, -0.1])
def test_alpha_0_changes_nothing_and_is_refused(alpha: float) -> None:
    with pytest.raises(ValueError, match=r"^alpha must be a number in \(0, 1\); got"):
        Blended(alpha=alpha, cells=8)
