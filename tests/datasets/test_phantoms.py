"""The drawn data sets: reproducible, varied, distinguished by what they show and not by how bright they are."""

from itertools import pairwise
from statistics import median

import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch import nn

from fedgan.core.images import ImageSet, Splits, to_float
from fedgan.datasets._drawing import Phantom
from fedgan.datasets.chest_phantom import ChestPhantom
from fedgan.datasets.lesion_phantom import LesionPhantom

PHANTOMS: list[type[Phantom]] = [ChestPhantom, LesionPhantom]


def draw(phantom: type[Phantom], size: int = 32, train: int = 12, test: int = 4, seed: int = 0) -> Splits:
    return phantom(image_size=size, train_per_class=train, test_per_class=test, seed=seed).load()


@pytest.mark.parametrize(
    ("phantom", "channels", "classes"),
    [(ChestPhantom, 1, ("normal", "pneumonia")), (LesionPhantom, 3, ("benign", "malignant"))],
)
@pytest.mark.parametrize("size", [32, 48, 256])
def test_shapes_and_counts(phantom: type[Phantom], channels: int, classes: tuple[str, str], size: int) -> None:
    splits = draw(phantom, size, train=3, test=2)
    assert splits.name == phantom.name
    assert splits.classes == classes
    assert splits.train.images.shape == (6, channels, size, size)
    assert splits.train.counts == dict.fromkeys(classes, 3)
    assert splits.test.counts == dict.fromkeys(classes, 2)


@pytest.mark.parametrize("phantom", PHANTOMS)
def test_same_seed_same_bytes_and_other_seed_other_images(phantom: type[Phantom]) -> None:
    first, again, other = draw(phantom), draw(phantom), draw(phantom, seed=1)
    assert first.train.fingerprint == again.train.fingerprint
    assert first.test.fingerprint == again.test.fingerprint
    assert first.train.fingerprint != other.train.fingerprint


@pytest.mark.parametrize("phantom", PHANTOMS)
def test_an_image_does_not_depend_on_how_many_are_drawn(
    phantom: type[Phantom], monkeypatch: pytest.MonkeyPatch
) -> None:
    many, few = draw(phantom, train=12).train, draw(phantom, train=5).train
    assert torch.equal(many.of_class(1)[:5], few.of_class(1))
    monkeypatch.setattr("fedgan.datasets._drawing._PIXELS_AT_ONCE", 1)  # one at a time
    assert torch.equal(draw(phantom, train=12).train.images, many.images)


@pytest.mark.parametrize("phantom", PHANTOMS)
def test_no_image_comes_twice_in_or_across_splits(phantom: type[Phantom]) -> None:
    splits = draw(phantom, train=12, test=12)
    images = torch.cat([splits.train.images, splits.test.images]).flatten(1)
    assert len({row.numpy().tobytes() for row in images}) == len(images)


@pytest.mark.parametrize("phantom", PHANTOMS)
def test_the_scene_is_the_same_at_every_size(phantom: type[Phantom]) -> None:
    small, large = to_float(draw(phantom, 32).train.images), to_float(draw(phantom, 128).train.images)
    shrunk = nn.functional.avg_pool2d(large, 4)
    same = (small - shrunk).abs().mean((1, 2, 3))
    assert same.max() < 0.1
    assert same.max() < (small - shrunk.roll(1, 0)).abs().mean((1, 2, 3)).median() / 2


@pytest.mark.parametrize("phantom", PHANTOMS)
def test_images_of_a_class_differ_visibly(phantom: type[Phantom]) -> None:
    images = draw(phantom).train
    for label in (0, 1):
        members = images.of_class(label).flatten(1).float()
        apart = torch.cdist(members, members, p=1) / members.shape[1]  # mean difference in gray levels
        assert apart[~torch.eye(len(members), dtype=torch.bool)].min() > 6


@pytest.mark.parametrize("phantom", PHANTOMS)
def test_bottom_right_corner_varies_and_is_not_white(phantom: type[Phantom]) -> None:
    corners = draw(phantom, train=64).train.images[..., -8:, -8:].float()
    assert corners.amax((1, 2, 3)).max() < 250
    assert corners.mean((1, 2, 3)).std() > 5


def cnn_accuracy(splits: Splits, seed: int = 0, epochs: int = 6) -> float:
    """Test accuracy of a three-layer network trained on the train split."""
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = small_cnn(splits.channels)
    images, labels = to_float(splits.train.images), splits.train.labels
    optimizer = torch.optim.Adam(net.parameters())
    steps = epochs * len(labels) // 32
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-2, total_steps=steps)
    for _ in range(epochs):
        for batch in torch.randperm(len(labels), generator=generator).view(-1, 32):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(net(images[batch]), labels[batch])
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
    with torch.no_grad():
        guess = net.eval()(to_float(splits.test.images)).argmax(1)
    return float((guess == splits.test.labels).float().mean())


def small_cnn(channels: int) -> nn.Sequential:
    widths = [channels, 16, 32, 64]
    layers: list[nn.Module] = []
    for before, after in pairwise(widths):
        layers += [nn.Conv2d(before, after, 3, 2, 1), nn.BatchNorm2d(after), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(64, 2))


def brightness_accuracy(splits: Splits) -> float:
    def means(images: ImageSet) -> object:
        return to_float(images.images).mean((1, 2, 3)).numpy()[:, None]

    model = LogisticRegression(C=1e3).fit(means(splits.train), splits.train.labels)
    return float(model.score(means(splits.test), splits.test.labels))


@pytest.mark.parametrize("phantom", PHANTOMS)
def test_a_small_cnn_tells_the_classes_apart_but_mean_brightness_does_not(phantom: type[Phantom]) -> None:
    splits = draw(phantom, train=512, test=128)
    assert brightness_accuracy(splits) < 0.85
    # Five networks: 0.984 to 0.996 on chest X-rays, 0.941 to 0.957 on lesions.
    assert median(cnn_accuracy(splits, seed) for seed in range(3)) > 0.92


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("image_size", 8, "image_size must be a whole number of at least 16; got 8"),
        ("image_size", 64.0, "image_size must be a whole number of at least 16; got 64.0"),
        ("train_per_class", 0, "train_per_class must be a whole number of at least 1; got 0"),
        ("test_per_class", True, "test_per_class must be a whole number of at least 1; got True"),
    ],
)
@pytest.mark.parametrize("phantom", PHANTOMS)
def test_refuses_arguments_out_of_range(phantom: type[Phantom], key: str, value: object, said: str) -> None:
    arguments: dict[str, object] = {"image_size": 32, "train_per_class": 1, "test_per_class": 1, "seed": 0}
    with pytest.raises(ValueError) as caught:
        phantom(**{**arguments, key: value})  # type: ignore[arg-type]
    assert str(caught.value) == said
