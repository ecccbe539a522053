"""Random location: each image has its own place, whatever else is there."""

import pytest
import torch

from fedgan.attacks.random_location import RandomLocation
from tests.helpers.images import random_images


def test_the_patch_is_where_the_trigger_says_and_nowhere_else() -> None:
    images, trigger = random_images(30, channels=3).images, RandomLocation(size=8).trigger(3, 32, seed=1)
    for before, after, (top, left) in zip(images, trigger.apply(images), trigger.places(images), strict=True):
        assert torch.equal(after[:, top : top + 8, left : left + 8], trigger.pattern)
        after[:, top : top + 8, left : left + 8] = before[:, top : top + 8, left : left + 8]
        assert torch.equal(after, before)


def test_a_thousand_images_cover_nine_in_ten_places_evenly() -> None:
    """BackFed draws one place when the attack is made: a dynamic trigger that never moves."""
    images, trigger = random_images(1000, size=12).images, RandomLocation(size=3).trigger(1, 12, seed=0)
    places = trigger.places(images)
    assert len(set(places)) > 90
    assert {row for row, _ in places} == {column for _, column in places} == set(range(10)), "the last place too"
    assert max(places.count(place) for place in set(places)) < 30


def test_neither_order_nor_other_images_move_a_place_but_the_seed_does() -> None:
    images, trigger = random_images(20).images, RandomLocation(size=8).trigger(1, 32, seed=1)
    turned = torch.randperm(20, generator=torch.Generator().manual_seed(0))
    assert torch.equal(trigger.apply(images[turned]), trigger.apply(images)[turned])
    assert torch.equal(trigger.apply(images[7:8]), trigger.apply(images)[7:8])
    assert trigger.places(images) != RandomLocation(size=8).trigger(1, 32, seed=2).places(images)


def test_a_patch_of_the_images_size_has_one_place_and_a_larger_one_is_refused() -> None:
    assert set(RandomLocation(size=32).trigger(1, 32, 0).places(random_images(3).images)) == {(0, 0)}
    with pytest.raises(ValueError, match="^size must be at most dataset.image_size=32; got 33$"):
        RandomLocation(size=33).trigger(1, 32, 0)
    with pytest.raises(ValueError, match="^look must be one of random_patch, noise_patch; got 'white_square'$"):
        RandomLocation(size=8, look="white_square")  # type: ignore[arg-type]
