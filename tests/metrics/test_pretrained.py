"""LPIPS, FID and KID: the packages' own results, and weights that are never guessed nor executed."""

import pickle
import socket
import time
import warnings
from pathlib import Path

import lpips
import pytest
import torch
import torchvision
from safetensors.torch import save_file
from torch import Tensor
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

from fedgan.core.images import to_float
from fedgan.core.update import State
from fedgan.metrics.base import Metric, Reference, Unavailable
from fedgan.metrics.features import FeatureDistance
from fedgan.metrics.frechet import FrechetDistance
from fedgan.metrics.kernel import KernelDistance, squared_mmd
from fedgan.metrics.lpips import LPIPS, AlexNet
from fedgan.metrics.pretrained.inception import FID, KID, Inception, build_inception
from fedgan.scoring.scorer import Scorer
from tests.helpers.images import random_images
from tests.helpers.metrics import Pixels, alexnet_file, pixels, reference

GREY = reference(random_images(12), random_images(10, seed=1))
COLOUR = reference(random_images(4, channels=3, size=40), random_images(4, channels=3, size=40, seed=1))


@pytest.fixture(scope="module")
def alexnet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return alexnet_file(tmp_path_factory.mktemp("alexnet") / "alexnet.pth")


def by_lpips(alexnet: Path, x: Tensor, y: Tensor) -> Tensor:
    """LPIPS as its package computes it, its trunk replaced by a torchvision AlexNet's convolutions."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = lpips.LPIPS(net="alex", pnet_rand=True, verbose=False)
    trunk = torchvision.models.alexnet().features
    trunk.load_state_dict({k.removeprefix("features."): v for k, v in torch.load(alexnet).items()})
    slices = [model.net.slice1, model.net.slice2, model.net.slice3, model.net.slice4, model.net.slice5]
    for part in slices:
        for name in list(part._modules):
            part._modules[name] = trunk[int(name)]
    with torch.no_grad():
        return model(*(to_float(images).expand(-1, 3, -1, -1) for images in (x, y))).flatten()


@pytest.mark.parametrize("real", [GREY, COLOUR], ids=["gray", "color"])
def test_lpips_is_that_of_its_package(alexnet: Path, real: Reference) -> None:
    measure = AlexNet(weights=str(alexnet), setting="weights").fit(real)
    x, y = real.splits.train.images[:4], real.splits.test.images[:4]
    torch.testing.assert_close(measure.distances(x, y), by_lpips(alexnet, x, y).double(), rtol=1e-5, atol=1e-7)
    assert measure.distances(x, x).tolist() == [0.0] * 4
    assert (measure.distances(x, y) > 0).all()


def test_lpips_values(alexnet: Path) -> None:
    metric = LPIPS(weights=str(alexnet))
    metric.prepare(GREY)
    values = metric.compute(random_images(8, seed=2))
    assert set(values) == {f"{name}{each}" for name in ("lpips", "lpips_se") for each in ("", "/a", "/b")}
    assert 0 < values["lpips_se"] < values["lpips"]
    assert len(metric.facts()["lpips_weights"]) == 64


def test_safetensors_and_pth_are_the_same(alexnet: Path, tmp_path: Path) -> None:
    save_file(torch.load(alexnet), tmp_path / "alexnet.safetensors")
    values = []
    for path in (alexnet, tmp_path / "alexnet.safetensors"):
        metric = LPIPS(weights=str(path))
        metric.prepare(GREY)
        values.append(metric.compute(random_images(8, seed=2)))
    assert values[0] == values[1]


def test_lpips_leaves_ambient_randomness_and_the_terminal_alone(
    alexnet: Path, capsys: pytest.CaptureFixture[str], recwarn: pytest.WarningsRecorder
) -> None:
    before = torch.get_rng_state()
    AlexNet(weights=str(alexnet), setting="weights").fit(GREY)
    assert torch.equal(before, torch.get_rng_state())
    assert capsys.readouterr() == ("", "")
    assert not recwarn.list


@pytest.mark.parametrize(("size", "available"), [(30, False), (31, True)])
def test_lpips_least_size(alexnet: Path, size: int, available: bool) -> None:
    metric = LPIPS(weights=str(alexnet))
    images, test = random_images(8, size=size), random_images(8, size=size, seed=1)
    if available:
        metric.prepare(reference(images, test))
        assert metric.compute(images)["lpips"] > 0
    else:
        with pytest.raises(Unavailable, match="AlexNet takes images from 31 px; got 30"):
            metric.prepare(reference(images, test))


class Malicious:
    """Unpickling it leaves a file behind."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return (Path.touch, (self.path,))


@pytest.mark.parametrize("kind", [LPIPS, FID, KID])
def test_a_malicious_file_is_refused_and_not_executed(kind: type[Metric], tmp_path: Path) -> None:
    trap = tmp_path / "executed"
    torch.save({"features.0.weight": Malicious(trap)}, tmp_path / "bad.pth")
    (tmp_path / "bare.pth").write_bytes(pickle.dumps(Malicious(trap), protocol=2))
    for file in ("bad.pth", "bare.pth"):
        with pytest.raises(ValueError, match=rf"metrics.{kind.names[0]}.weights must contain a state dict") as refusal:
            kind(weights=str(tmp_path / file)).prepare(GREY)
        assert "\n" not in str(refusal.value)
    assert not trap.exists()
    torch.load(tmp_path / "bad.pth", weights_only=False)
    assert trap.exists(), "the trap works"


@pytest.mark.parametrize("kind", [LPIPS, FID, KID])
def test_another_file_is_refused(kind: type[Metric], tmp_path: Path) -> None:
    name = f"metrics.{kind.names[0]}.weights"
    save_file(torchvision.models.squeezenet1_0().state_dict(), tmp_path / "other.safetensors")
    save_file({}, tmp_path / "empty.safetensors")
    torch.save([torch.zeros(2)], tmp_path / "list.pth")
    (tmp_path / "cut.pth").write_bytes((tmp_path / "list.pth").read_bytes()[:100])
    for file in ("other.safetensors", "empty.safetensors", "list.pth", "cut.pth"):
        with pytest.raises(
            ValueError, match=f"{name} must contain a state dict like https://.*; got .*{file}"
        ) as refusal:
            kind(weights=str(tmp_path / file)).prepare(GREY)
        assert "\n" not in str(refusal.value)
    with pytest.raises(ValueError, match="^weights must be a file, or null; got"):
        kind(weights=str(tmp_path / "nowhere.pth")).prepare(GREY)


@pytest.mark.parametrize("kind", [LPIPS, FID, KID])
def test_neither_weights_nor_network(kind: type[Metric], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    timeouts = []

    def refuse(*_: object, **__: object) -> None:
        timeouts.append(socket.getdefaulttimeout())
        raise socket.gaierror("no network")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    for proxy in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.delenv(proxy, raising=False)
    with pytest.raises(
        Unavailable, match=rf"metrics.{kind.names[0]}.weights is null and https://.* is out of reach"
    ) as no:
        kind().prepare(GREY)
    assert "\n" not in str(no.value)
    assert timeouts == [10.0]
    assert socket.getdefaulttimeout() is None


@pytest.fixture
def hosts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The hosts that were looked for, where there is no network and nothing downloaded yet."""
    looked: list[str] = []

    def refuse(host: str, *_: object, **__: object) -> None:
        looked.append(host)
        raise socket.gaierror("no network")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    for proxy in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.delenv(proxy, raising=False)
    return looked


def test_b4_each_download_is_tried_once_a_command(hosts: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    for attempt in (1, 2):  # another command tries again
        scorer = Scorer({"lpips": LPIPS(), "fid": FID(), "kid": KID()}, ("a", "b"))
        scorer.prepare(GREY)
        assert hosts == ["download.pytorch.org", "github.com"] * attempt
        for name in ("lpips", "fid", "kid"):
            assert "https://" in scorer.absent[name]
            assert scorer.absent[name].endswith(f": download it elsewhere and give metrics.{name}.weights=FILE")
    shown = capsys.readouterr()
    assert shown.out == "", "stdout is for results"
    assert "metric kid is left out" in shown.err


@pytest.mark.usefixtures("hosts")
def test_b4_a_host_that_never_answers_delays_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as listener:  # connections are taken, and then nothing is sent
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        here = [(socket.AF_INET, socket.SOCK_STREAM, 0, "", listener.getsockname())]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: here)
        monkeypatch.setattr("fedgan.metrics.pretrained.weights._TIMEOUT", 0.2)
        start = time.perf_counter()
        with pytest.raises(Unavailable, match="timed out"):
            LPIPS().prepare(GREY)
        assert 0.2 <= time.perf_counter() - start < 5


def test_the_downloads_file_is_read_where_torch_hub_keeps_it(
    alexnet: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = torchvision.models.AlexNet_Weights.IMAGENET1K_V1.url
    kept = tmp_path / "hub" / "checkpoints" / Path(url).name
    kept.parent.mkdir(parents=True)
    kept.write_bytes(alexnet.read_bytes())
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    by_download, by_file = LPIPS(), LPIPS(weights=str(alexnet))
    by_download.prepare(GREY)
    by_file.prepare(GREY)
    assert by_download.facts() == by_file.facts()


@pytest.fixture(scope="module")
def inception_state() -> State:
    """Random weights of Inception, whose package builds none without a file."""
    with pytest.MonkeyPatch.context() as patch, torch.random.fork_rng():
        torch.manual_seed(0)
        patch.setattr(FeatureExtractorInceptionV3, "load_state_dict", lambda self, state: None)
        patch.setattr(torch, "load", lambda *_, **__: None)
        return FeatureExtractorInceptionV3("random", ["2048"], feature_extractor_weights_path="none").state_dict()


def test_kid_compares_the_features_of_its_package(inception_state: State, tmp_path: Path) -> None:
    save_file(dict(inception_state), tmp_path / "inception.safetensors")
    before = torch.get_rng_state()
    metric = KID(weights=str(tmp_path / "inception.safetensors"))
    real, synthetic = reference(random_images(4), random_images(4, seed=1)), random_images(4, seed=2)
    metric.prepare(real)
    assert torch.equal(before, torch.get_rng_state())
    features = build_inception(inception_state)
    x, y = (
        features(images.of_class(0).repeat(1, 3, 1, 1))[0].double() for images in (synthetic, real.splits.test)
    )  # fmt: skip
    assert x.shape == (2, 2048)
    assert metric.compute(synthetic)["kid/a"] == pytest.approx(squared_mmd(x, y), rel=1e-3, abs=1e-9)
    assert len(metric.facts()["inception_weights"]) == 64


def test_a11_fid_and_kid_say_that_published_ones_are_others(inception_state: State, tmp_path: Path) -> None:
    save_file(dict(inception_state), tmp_path / "inception.safetensors")
    metric = KID(weights=str(tmp_path / "inception.safetensors"))
    metric.prepare(reference(random_images(4), random_images(4, seed=1)))
    assert "not published FIDs or KIDs" in str(metric.facts()["inception_compares_with"])
    assert isinstance(FID().classifier, Inception), "which says so"


@pytest.mark.parametrize(("kind", "classifiers"), [(FID, FrechetDistance), (KID, KernelDistance)], ids=["fid", "kid"])
def test_fid_and_kid_differ_from_the_classifiers_distances_in_features_and_name_alone(
    kind: type[FeatureDistance], classifiers: type[FeatureDistance], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Inception, "fit", lambda self, reference: Pixels())
    real, synthetic = reference(pixels([1, 2, 4], [7, 9]), pixels([1, 3], [6, 8])), pixels([2, 5], [90, 100])
    values = []
    for metric in (kind(), classifiers(classifier=Pixels())):
        metric.prepare(real)
        named = metric.compute(synthetic) | metric.facts()
        values.append({name.replace(metric.names[0], "it"): value for name, value in named.items()})
    assert values[0] == values[1]
    assert {"it", "it/dark", "it_floor/dark", "it_floor_all/bright"} <= set(values[0])
