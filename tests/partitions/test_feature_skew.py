"""Clients whose images look different."""

import pytest
import torch

from fedgan.attacks.base import Attack
from fedgan.attacks.white_square import WhiteSquare
from fedgan.core.images import ImageSet
from fedgan.federated.data import share_out
from fedgan.partitions.base import Partition
from fedgan.partitions.feature_skew import FeatureSkew, rescanned
from fedgan.partitions.iid import IID
from tests.helpers.images import random_images, smooth_images


def shared(partition: Partition, images: ImageSet, seed: int = 0, malicious: int | None = None) -> list[ImageSet]:
    attack = Attack() if malicious is None else WhiteSquare(size=8)
    own = frozenset() if malicious is None else frozenset({malicious})
    return [client.at(0) for client in share_out(images, partition, attack, own, 4, seed).clients]


def test_gains_by_hand() -> None:
    """Gray 100 with gains 0.7, 0.9, 1.1 and 1.3."""
    images = ImageSet(torch.full((8, 1, 16, 16), 100, dtype=torch.uint8), torch.arange(8) % 2, ("a", "b"))
    assert [client.images.unique().tolist() for client in shared(FeatureSkew(gain=0.3), images)] == [
        [70],
        [90],
        [110],
        [130],
    ]


def test_contrasts_by_hand() -> None:
    """Half of each image 50, half 150: deviations of 50 from 100 become 20, 40, 60 and 80."""
    pixels = torch.full((8, 1, 16, 16), 50, dtype=torch.uint8)
    pixels[..., 8:] = 150
    images = ImageSet(pixels, torch.arange(8) % 2, ("a", "b"))
    found = [client.images.unique().tolist() for client in shared(FeatureSkew(gain=0.0, contrast=0.6), images)]
    assert found == [[80, 120], [60, 140], [40, 160], [20, 180]]


def test_noise_grows_with_the_id_and_is_its_own_in_each_client() -> None:
    """Standard deviations 5, 10, 15 and 20 of 20; over 5,120 values each is 3 % accurate."""
    images = ImageSet(torch.full((20, 1, 32, 32), 128, dtype=torch.uint8), torch.arange(20) % 2, ("a", "b"))
    clients = shared(FeatureSkew(gain=0.0, noise=20.0), images)
    assert [float(client.images.double().std()) for client in clients] == pytest.approx([5, 10, 15, 20], rel=0.05)
    first, second = (client.images[0].double() - 128 for client in clients[:2])
    assert abs(float(torch.corrcoef(torch.stack([first.flatten(), second.flatten()]))[0, 1])) < 0.1


def test_parts_and_labels_are_those_of_iid_and_the_same_with_each_call() -> None:
    images = smooth_images(40)
    plain, skewed = (shared(each, images) for each in (IID(), FeatureSkew(noise=9.0)))
    for mine, theirs, again in zip(plain, skewed, shared(FeatureSkew(noise=9.0), images), strict=True):
        assert torch.equal(mine.labels, theirs.labels)
        assert not torch.equal(mine.images, theirs.images)
        assert theirs.fingerprint == again.fingerprint
    other = shared(FeatureSkew(noise=9.0), images, seed=1)
    assert other[0].fingerprint != skewed[0].fingerprint


def test_values_stay_within_bytes_and_the_originals_as_they_were() -> None:
    images = random_images(16)
    before = images.images.clone()
    bright = shared(FeatureSkew(gain=0.9), images)[3].images
    assert bright.dtype == torch.uint8
    assert int(bright.max()) == 255
    assert torch.equal(images.images, before)


def test_what_is_brighter_than_white_is_white_and_darker_than_black_black() -> None:
    """200 times 1.3 is 260; of 30 and 230, twice as far from their mean 130 is -70 and 330."""
    pixels = torch.tensor([30, 230, 200, 200], dtype=torch.uint8).view(2, 1, 1, 2)
    rng = torch.Generator()
    assert rescanned(pixels, 1.3, 1.0, 0.0, rng)[1].flatten().tolist() == [255, 255]
    assert rescanned(pixels, 1.0, 2.0, 0.0, rng)[0].flatten().tolist() == [0, 255]


def test_without_noise_nothing_is_drawn() -> None:
    rng = torch.Generator().manual_seed(4)
    before = rng.get_state()
    rescanned(random_images(2).images, 1.1, 1.0, 0.0, rng)
    assert torch.equal(rng.get_state(), before)
    rescanned(random_images(2).images, 1.1, 1.0, 5.0, rng)
    assert not torch.equal(rng.get_state(), before)


def test_the_attack_comes_after_the_change() -> None:
    """The trigger is as white as it was made; what is around it is as the client's scanner shows it."""
    images = ImageSet(torch.full((8, 1, 32, 32), 100, dtype=torch.uint8), torch.arange(8) % 2, ("a", "b"))
    attacked = shared(FeatureSkew(gain=0.5), images, malicious=0)[0]
    assert attacked.images.unique().tolist() == [50, 255]


def test_nothing_to_change_is_refused() -> None:
    with pytest.raises(ValueError, match="^gain must be above 0 where contrast and noise are 0; got 0"):
        FeatureSkew(gain=0.0)


def test_a_change_of_anything_else_is_refused() -> None:
    class Relabeling(IID):
        def change(self, images: ImageSet, client_id: int, num_clients: int, rng: torch.Generator) -> ImageSet:
            return images.subset(torch.arange(len(images) - client_id))

    said = "^partition: change must return as many images .* same labels; client 1 has others, .9, 1, 32, 32. instead"
    with pytest.raises(ValueError, match=said):
        shared(Relabeling(), random_images(40))
