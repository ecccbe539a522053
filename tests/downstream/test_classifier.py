"""The diagnostic classifier: its training is repeatable, its networks are those of the paper."""

import functools
import re
import socket
from collections.abc import Callable, Iterator
from http.client import BadStatusLine
from itertools import chain
from pathlib import Path
from typing import Any
from urllib.error import URLError

import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf
from safetensors.torch import save_file
from torch import Tensor, nn
from torchvision.models import densenet121, resnet18
from torchvision.transforms import v2

from fedgan.config.refusals import CONF
from fedgan.core.images import ImageSet
from fedgan.downstream.classifier import Batches, ClassifierRecipe, DenseNet121, random_flips
from fedgan.metrics.classifier import ConvNet
from tests.helpers.images import random_images

SMALL = functools.partial(ConvNet, width=4, feature_dim=8)


def recipe(**settings: Any) -> ClassifierRecipe:
    return ClassifierRecipe(
        **{"network": SMALL, "optimizer": functools.partial(torch.optim.SGD, lr=0.01), "epochs": 2} | settings
    )


def weights(model: nn.Module) -> Tensor:
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def numbered(count: int) -> ImageSet:
    """Image i is filled with the number i."""
    images = torch.arange(count, dtype=torch.uint8)[:, None, None, None].expand(count, 1, 4, 4)
    return ImageSet(images, torch.zeros(count, dtype=torch.int64), ("a",))


def contents(batches: Batches) -> list[list[int]]:
    return [images[:, 0, 0, 0].tolist() for images, _ in batches]


def test_a_pass_shows_each_image_once_in_batches_of_like_size() -> None:
    batches = Batches(numbered(33), 32, steps=None, rng=torch.Generator().manual_seed(0))
    first, second = contents(batches), contents(batches)
    for epoch in (first, second):
        assert [len(batch) for batch in epoch] == [17, 16], "32 + 1 would leave BatchNorm with a single image"
        assert sorted(chain.from_iterable(epoch)) == list(range(33))
    assert first != second
    assert len(batches) == 2


@pytest.mark.parametrize(("count", "least", "most"), [(2, 30, 30), (7, 8, 9), (100, 0, 1)])
def test_a_number_of_steps_shows_all_images_alike(count: int, least: int, most: int) -> None:
    batches = Batches(numbered(count), 12, steps=5, rng=torch.Generator().manual_seed(0))
    assert [len(batch) for batch in contents(batches)] == [12] * 5
    times = torch.bincount(torch.tensor([*chain.from_iterable(contents(batches))]), minlength=count)
    assert (int(times.min()), int(times.max())) == (least, most)


@pytest.mark.parametrize(
    ("count", "sizes"),
    [
        (24, [12, 12, 12]),  # a pass of two steps: three at least
        (25, [9, 8, 8]),  # one of three: each image once
        (2, [12, 12, 12]),
    ],
)
def test_a2_a_pass_has_a_floor(count: int, sizes: list[int]) -> None:
    batches = Batches(numbered(count), 12, steps=None, least_steps=3, rng=torch.Generator().manual_seed(0))
    assert [len(batch) for batch in contents(batches)] == sizes
    assert (len(batches), batches.draws) == (3, sum(sizes))


def test_a2_a_given_number_of_steps_needs_no_floor() -> None:
    batches = recipe(steps_per_epoch=2, least_steps_per_epoch=5, batch_size=4).batches(numbered(3), seed=0)
    assert [len(batch) for batch in contents(batches)] == [4, 4]


def test_flips_are_mirror_images_and_keyed() -> None:
    images = random_images(64).images
    flipped = random_flips(images, torch.Generator().manual_seed(1))
    variants = torch.stack([images, images.flip(-1), images.flip(-2), images.flip((-1, -2))])
    same = (variants == flipped).flatten(2).all(dim=2)  # (4, 64)
    assert same.any(dim=0).all()
    assert same.any(dim=1).all()
    assert torch.equal(flipped, random_flips(images, torch.Generator().manual_seed(1)))
    assert not torch.equal(flipped, random_flips(images, torch.Generator().manual_seed(2)))


def test_first_weights_depend_on_the_seed_alone() -> None:
    few, many = random_images(4, seed=1), random_images(40, seed=2)
    assert torch.equal(weights(recipe().build(few, 3)), weights(recipe(flips=True, epochs=9).build(many, 3)))
    assert not torch.equal(weights(recipe().build(few, 3)), weights(recipe().build(few, 4)))


@pytest.mark.parametrize("settings", [{}, {"flips": True, "steps_per_epoch": 3}], ids=["plain", "flips, steps"])
def test_the_same_seed_repeats_a_fit_exactly_and_leaves_the_ambient_stream(settings: dict[str, Any]) -> None:
    images, ambient = random_images(20), torch.get_rng_state()
    first = weights(recipe(**settings).fit(images, 0))
    assert torch.equal(ambient, torch.get_rng_state())
    torch.manual_seed(99)
    assert torch.equal(first, weights(recipe(**settings).fit(images, 0)))
    assert not torch.equal(first, weights(recipe(**settings).fit(images, 1)))


def test_flips_and_their_absence_matter() -> None:
    images = random_images(20)
    assert not torch.equal(weights(recipe().fit(images, 0)), weights(recipe(flips=True).fit(images, 0)))


def test_learning_rate_decays_after_each_epoch() -> None:
    rates = []

    class Watched(torch.optim.SGD):
        def step(self, closure: Any = None) -> Any:
            rates.append(self.param_groups[0]["lr"])
            return super().step(closure)

    settings = {"epochs": 3, "steps_per_epoch": 2, "decay": 0.5}
    recipe(optimizer=functools.partial(Watched, lr=0.8), **settings).fit(random_images(10), 0)
    assert rates == pytest.approx([0.8, 0.8, 0.4, 0.4, 0.2, 0.2])


def test_it_learns_and_answers_in_order() -> None:
    images = random_images(300)
    bright = ImageSet(
        images.images // 2 + 100 * images.labels[:, None, None, None].to(torch.uint8), images.labels, "ab"
    )
    model = recipe(optimizer=functools.partial(torch.optim.Adam, lr=0.01), epochs=5).fit(bright, 0)
    assert torch.equal(model.classify(bright.images), bright.labels)
    assert torch.equal(model.classify(bright.images[-3:]), bright.labels[-3:]), "the answer is independent of the batch"


def test_weights_that_are_not_finite_are_no_result() -> None:
    with pytest.raises(ValueError, match=r"classifier.optimizer must be such that training stays finite"):
        recipe(optimizer=functools.partial(torch.optim.SGD, lr=1e38)).fit(random_images(20), 0)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"decay": 0}, "decay must be a number in (0, 1]; got 0"),
        ({"decay": 1.5}, "decay must be a number in (0, 1]; got 1.5"),
        ({"epochs": 0}, "epochs must be a whole number of at least 1; got 0"),
        ({"batch_size": 1}, "batch_size must be a whole number of at least 2; got 1"),
        ({"steps_per_epoch": 0}, "steps_per_epoch must be a whole number of at least 1, or null; got 0"),
        ({"least_steps_per_epoch": 0}, "least_steps_per_epoch must be a whole number of at least 1; got 0"),
        ({"network": functools.partial(ConvNet, width=0)}, "network.width must be a whole number of at least 1; got 0"),
        ({"network": functools.partial(ConvNet, depth=2)}, "network.depth is not an argument; it has: channels, "),
        ({"optimizer": functools.partial(torch.optim.SGD, lr=-1)}, "optimizer.lr must be a number in [0, inf); got -1"),
        ({"flips": "often"}, "flips must be true or false; got 'often'"),
        ({"accelerator": "tpu"}, "accelerator must be one of cpu, cuda; got 'tpu'"),
    ],
)
def test_settings(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=re.escape(words)):
        recipe(**settings)


def test_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match="accelerator must be cpu: no GPU is to be found here; got 'cuda'"):
        recipe(accelerator="cuda")


# DenseNet121


@pytest.fixture(scope="module")
def trained() -> nn.Module:
    """Stands for torchvision's trained network."""
    with torch.random.fork_rng():
        torch.manual_seed(5)
        return densenet121().eval()


@pytest.fixture(params=["model.safetensors", "model.pth", "old_names.pth"])
def weights_file(request: pytest.FixtureRequest, trained: nn.Module, tmp_path: Path) -> Path:
    path, state = tmp_path / request.param, trained.state_dict()
    if path.suffix == ".safetensors":
        save_file(state, path)
    elif path.stem == "old_names":  # as in the file that torchvision offers
        torch.save(
            {re.sub(r"(denselayer\d+\.(norm|conv))([12])", r"\1.\3", name): t for name, t in state.items()}, path
        )
    else:
        torch.save(state, path)
    return path


@pytest.mark.parametrize("channels", [1, 3])
def test_densenet_sees_what_torchvision_would_show_it(channels: int, trained: nn.Module, weights_file: Path) -> None:
    model = DenseNet121(channels=channels, num_classes=3, image_size=64, weights=str(weights_file)).eval()
    images = random_images(2, channels=channels).images
    show = v2.Compose(
        [
            v2.ToDtype(torch.float32, scale=True),
            v2.Resize(64, antialias=True),
            v2.Lambda(lambda x: x.repeat(1, 3 // channels, 1, 1)),
            v2.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        ]
    )
    expected = nn.functional.adaptive_avg_pool2d(trained.features(show(images)).relu(), 1).flatten(1)  # (2, 1024)
    with torch.no_grad():
        torch.testing.assert_close(model.head.weight @ expected.T + model.head.bias[:, None], model(images).T)
    assert model(images).shape == (2, 3)


def test_densenet_takes_a_step() -> None:
    network = functools.partial(DenseNet121, image_size=32)
    images = random_images(4, size=16)
    made = recipe(network=network, epochs=1, steps_per_epoch=1, batch_size=2)
    before, after = weights(made.build(images, 0)), weights(made.fit(images, 0))
    assert not torch.equal(before, after)
    assert len(before) == 6_953_856 + 1024 * 2 + 2  # torchvision's 7,978,856 less its head, and a head of two classes


def write(path: Path, kind: str) -> Path:
    if kind == "another network":
        torch.save(resnet18().state_dict(), path)
    elif kind == "garbage":
        path.write_bytes(b"garbage")
    elif kind == "a list":
        torch.save([1, 2], path)
    elif kind == "code":
        torch.save(resnet18(), path)  # a pickled module: reading it would import what it names
    return path


@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
@pytest.mark.parametrize("kind", ["another network", "garbage", "a list", "code", "missing"])
def test_weights_that_cannot_be_used(kind: str, suffix: str, tmp_path: Path) -> None:
    path = write(tmp_path / f"weights.{suffix}", kind)
    with pytest.raises(ValueError, match=r"classifier.network.weights must be null, imagenet .* or a file") as error:
        DenseNet121(channels=1, num_classes=2, weights=str(path))
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_imagenet_weights_come_from_torchvision(monkeypatch: pytest.MonkeyPatch, trained: nn.Module) -> None:
    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", lambda *_, **__: trained.state_dict())
    model = DenseNet121(channels=1, num_classes=2, weights="imagenet")
    assert torch.equal(model.body.features.conv0.weight, trained.features.conv0.weight)


def test_imagenet_weights_without_internet(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise URLError("no route to host")

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", refuse)
    with pytest.raises(ValueError, match=r"classifier.network.weights must be .* got 'imagenet' .*no route to host"):
        DenseNet121(channels=1, num_classes=2, weights="imagenet")


@pytest.mark.parametrize("error", [TimeoutError("timed out"), BadStatusLine("nonsense")], ids=repr)
def test_b4_the_download_of_imagenet_weights_gives_up(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: Exception
) -> None:
    timeouts = []

    def silent(*_: Any, **__: Any) -> None:
        print("Downloading")  # as torch.hub does, on stdout
        timeouts.append(socket.getdefaulttimeout())
        raise error

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", silent)
    with pytest.raises(ValueError, match=r"classifier.network.weights must be .* or a file .*; got 'imagenet'"):
        DenseNet121(channels=1, num_classes=2, weights="imagenet")
    assert timeouts == [10.0]
    assert socket.getdefaulttimeout() is None
    assert capsys.readouterr() == ("", "Downloading\n")


@pytest.mark.parametrize(("setting", "value"), [("image_size", 31), ("channels", 2)])
def test_densenet_settings(setting: str, value: int) -> None:
    with pytest.raises(ValueError, match=f"must be .*; got {value}"):
        DenseNet121(**{"channels": 1, "num_classes": 2, setting: value})


# conf/classifier


@pytest.fixture
def settings_of() -> Iterator[Callable[[str], DictConfig]]:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        yield lambda name: compose("utility", overrides=[f"classifier={name}"]).classifier


@pytest.mark.parametrize(
    ("name", "facts"),
    [
        (
            "densenet121_isic",
            {
                "optimizer": {"_target_": "torch.optim.SGD", "_partial_": True, "lr": 1e-3, "weight_decay": 1e-4},
                "flips": False,
            },
        ),
        (
            "densenet121_chestx",
            {"optimizer": {"_target_": "torch.optim.Adam", "_partial_": True, "lr": 1e-5}, "flips": True},
        ),
    ],
)
def test_the_papers_recipes(name: str, facts: dict[str, object], settings_of: Callable[[str], DictConfig]) -> None:
    cfg: Any = OmegaConf.to_container(settings_of(name), resolve=True)
    same = {"decay": 0.9, "epochs": 20, "steps_per_epoch": None, "least_steps_per_epoch": 1, "accelerator": "cpu"}
    assert {key: cfg[key] for key in same | facts} == same | facts
    assert cfg["network"] == {
        "_target_": "fedgan.downstream.classifier.DenseNet121", "_partial_": True, "image_size": 224, "weights": None
    }  # fmt: skip


@pytest.mark.parametrize("file", sorted((CONF / "classifier").glob("*.yaml")), ids=lambda file: file.stem)
def test_every_choice_trains(file: Path, settings_of: Callable[[str], DictConfig]) -> None:
    from hydra.utils import instantiate

    cfg = settings_of(file.stem)
    cfg.epochs, cfg.steps_per_epoch, cfg.batch_size = 1, 1, 2
    if "image_size" in cfg.network:
        cfg.network.image_size = 32
    made = instantiate(cfg)
    images = random_images(4)
    assert not torch.equal(weights(made.build(images, 0)), weights(made.fit(images, 0)))
