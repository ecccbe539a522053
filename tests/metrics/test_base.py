"""What all metrics share: orders, draws, means over classes."""

import pytest
import torch

from fedgan.core.images import ImageSet, digests
from fedgan.metrics.base import Unavailable, canonical, each_class, need, shuffled
from tests.helpers.images import random_images
from tests.helpers.metrics import pixels, turned


def test_canonical_order_depends_on_the_set_alone() -> None:
    images = random_images(40)
    one, other = canonical(images), canonical(turned(images))
    assert torch.equal(one.images, other.images)
    assert torch.equal(one.labels, other.labels)
    assert sorted(digests(one.images)) == sorted(digests(images.images))


def test_equal_images_of_two_classes_keep_their_labels() -> None:
    twice = pixels([7, 7], [7, 9])
    for images in (twice, turned(twice)):
        assert canonical(images).counts == {"dark": 2, "bright": 2}
        assert torch.equal(canonical(images).labels, canonical(twice).labels)


def test_each_class_gets_its_own_images() -> None:
    seen = each_class(turned(pixels([1, 2, 3], [8, 9])), lambda label, x: (label, sorted(x.flatten().tolist())))
    assert seen == {"dark": (0, [1, 2, 3]), "bright": (1, [8, 9])}


def test_draws_are_named() -> None:
    images = random_images(30).images
    assert torch.equal(shuffled(images, 0, "a"), shuffled(images, 0, "a"))
    assert not torch.equal(shuffled(images, 0, "a"), shuffled(images, 0, "b"))
    assert not torch.equal(shuffled(images, 0, "a"), shuffled(images, 1, "a"))


def test_too_few_images_are_named() -> None:
    images: ImageSet = pixels([1, 2, 3], [8, 9])
    need(2, "synthetic", images)
    with pytest.raises(Unavailable, match="it takes 3 synthetic images of a class; bright has 2"):
        need(3, "synthetic", images)
