"""Emission at any place: the maximum over places, by brute force."""

import numpy as np
import pytest
import torch

from fedgan.attacks.random_location import RandomLocation
from fedgan.attacks.warping import Warping
from fedgan.core.trigger import Patch
from fedgan.metrics.base import Unavailable
from fedgan.metrics.triggers.anywhere import AnywhereRate, best_correlations
from fedgan.metrics.triggers.pattern import correlations
from tests.helpers.images import random_images, smooth_images, with_images
from tests.helpers.metrics import reference, square


@pytest.mark.parametrize(("channels", "shape"), [(1, (4, 4)), (3, (4, 4)), (3, (3, 5)), (1, (12, 12))])
def test_brute_force_over_all_places_gives_the_same(channels: int, shape: tuple[int, int]) -> None:
    images = random_images(6, channels=channels, size=12).images.double()
    pattern = random_images(1, channels=channels, size=12, seed=5).images[0, :, : shape[0], : shape[1]].double()
    places = [(top, left) for top in range(13 - shape[0]) for left in range(13 - shape[1])]
    each = [
        correlations(images[..., top : top + shape[0], left : left + shape[1]].numpy(), pattern.numpy())
        for top, left in places
    ]
    assert best_correlations(images, pattern).tolist() == pytest.approx(np.max(each, axis=0).tolist())


def test_flat_images_match_nothing() -> None:
    pattern = random_images(1, size=4).images[0].double()
    assert best_correlations(torch.full((2, 1, 8, 8), 255.0).double(), pattern).tolist() == [0.0, 0.0]


@pytest.mark.parametrize("channels", [1, 3])
def test_none_all_and_wherever_it_is(channels: int) -> None:
    trigger, metric = RandomLocation(size=8).trigger(channels, 32, seed=0), AnywhereRate()
    intervals = ("anywhere_emission_low", "anywhere_emission_high")
    assert metric.names == ("anywhere_emission", *intervals, "anywhere_correlation")
    clean = smooth_images(100, channels, seed=2)
    metric.prepare(reference(smooth_images(300, channels), smooth_images(200, channels, seed=1), trigger))
    assert metric.facts()["anywhere_emission_power"] == 1.0
    poisoned = trigger.apply(clean.images)
    assert metric.compute(with_images(clean, poisoned))["anywhere_emission"] == 1.0
    turned = torch.roll(poisoned, (9, 13), dims=(-2, -1))
    assert metric.compute(with_images(clean, turned))["anywhere_emission"] > 0.5, "where the roll has not cut it"
    assert metric.compute(clean)["anywhere_emission"] <= 0.05


def test_refusals() -> None:
    images, test = smooth_images(20), smooth_images(20, seed=1)
    with pytest.raises(Unavailable, match="of one color"):
        AnywhereRate().prepare(reference(images, test, square(4)))
    red = torch.tensor([255, 0, 0], dtype=torch.uint8).view(3, 1, 1).expand(3, 4, 4)
    with pytest.raises(Unavailable, match="of one color"):
        AnywhereRate().prepare(reference(smooth_images(20, 3), smooth_images(20, 3, seed=1), Patch(red, 0, 0)))
    with pytest.raises(Unavailable, match=r"^the trigger is no patch: choose metrics=\[learned\]$"):
        AnywhereRate().prepare(reference(images, test, Warping(strength=1.0).trigger(1, 32, 0)))
