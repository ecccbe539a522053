"""The feature classifier: depends on seed and data alone, and is trained once."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from fedgan.core.images import ImageSet, to_float
from fedgan.core.update import state_hash
from fedgan.metrics.classifier import Classifier, ConvNet
from fedgan.metrics.frechet import FrechetDistance
from tests.helpers.metrics import reference


def patterns(n: int, size: int = 16, seed: int = 0) -> ImageSet:
    """Fine noise of one class against coarse noise of the other; three fine images to one coarse one."""
    labels = np.arange(n) % 4 == 0
    noise = np.random.default_rng(seed).normal(size=(n, 1, size, size))
    coarse = gaussian_filter(noise, (0, 0, 2, 2)) * 7
    pixels = 128 + 40 * np.where(labels[:, None, None, None], coarse, noise)
    images = torch.from_numpy(pixels.clip(0, 255).astype(np.uint8))
    return ImageSet(images, torch.from_numpy(labels.astype(np.int64)), ("fine", "coarse"))


REAL = reference(patterns(200), patterns(100, seed=1))
TEST = REAL.splits.test


def small(cache: Path, seed: int = 0) -> Classifier:
    return Classifier(width=4, feature_dim=8, steps=30, batch_size=32, seed=seed, cache=str(cache))


def test_depends_on_seed_and_data_but_not_on_ambient_randomness(tmp_path: Path) -> None:
    torch.manual_seed(1)
    first = small(tmp_path / "a").fit(REAL).features(TEST.images)
    torch.manual_seed(2)
    second = small(tmp_path / "b").fit(REAL).features(TEST.images)
    other = small(tmp_path / "c", seed=1).fit(REAL).features(TEST.images)
    assert torch.equal(first, second)
    assert not torch.allclose(first, other)


def test_ambient_state_is_left_alone(tmp_path: Path) -> None:
    before = torch.get_rng_state()
    small(tmp_path).fit(REAL)
    assert torch.equal(before, torch.get_rng_state())


def test_second_call_reads_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trained = small(tmp_path).fit(REAL).features(TEST.images)

    def forbidden(*_: object) -> None:
        raise AssertionError("trained again")

    monkeypatch.setattr(Classifier, "train", forbidden)
    assert torch.equal(trained, small(tmp_path).fit(REAL).features(TEST.images))
    with pytest.raises(AssertionError, match="trained again"):  # other data
        small(tmp_path).fit(reference(TEST, REAL.splits.train))
    with pytest.raises(AssertionError, match="trained again"):  # other seed
        small(tmp_path, seed=1).fit(REAL)
    assert len(list(tmp_path.iterdir())) == 1


@pytest.fixture
def threads() -> Iterator[Callable[[int], None]]:
    """Sets the number of torch's threads; the test's own is put back."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


def test_a6_who_filled_the_cache_does_not_matter(tmp_path: Path, threads: Callable[[int], None]) -> None:
    rows, weights = [], []
    for number in (1, 2):
        threads(number)
        small(tmp_path / str(number)).fit(REAL)
        assert torch.get_num_threads() == number, "the run's own number is put back"
    for number in (1, 2):
        threads(1)  # the run that reads the cache
        metric = FrechetDistance(classifier=small(tmp_path / str(number)))
        metric.prepare(REAL)
        rows.append(metric.compute(patterns(60, seed=2)) | metric.facts())
        weights.append(metric.facts()["classifier_weights"])
    assert rows[0] == rows[1]
    assert weights[0] == state_hash(small(tmp_path).train(REAL.train).state_dict())


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("torch.__version__", "0.0"),
        ("torch.backends.cpu.get_cpu_capability", lambda: "ABACUS"),
        ("platform.machine", lambda: "abacus"),
        ("fedgan.metrics.classifier.cpu_name", lambda: "an abacus, 1 core"),
    ],
)
def test_a6_a_network_that_was_cached_elsewhere_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str, value: object
) -> None:
    small(tmp_path).fit(REAL)
    (kept,) = tmp_path.iterdir()
    with pytest.MonkeyPatch.context() as elsewhere:
        elsewhere.setattr(place, value)
        small(tmp_path).fit(REAL)
    assert len(list(tmp_path.iterdir())) == 2, "trained anew and kept under another name"
    kept.unlink()
    trained: list[object] = []
    train = Classifier.train
    monkeypatch.setattr(Classifier, "train", lambda self, images: trained.append(images) or train(self, images))
    small(tmp_path).fit(REAL)
    assert trained, "that of elsewhere does not serve here"


def test_learns_an_unbalanced_task(tmp_path: Path) -> None:
    fitted = Classifier(width=8, feature_dim=16, steps=80, cache=str(tmp_path)).fit(REAL)
    assert fitted.balanced_accuracy > 0.95


def test_features_do_not_depend_on_batching(tmp_path: Path) -> None:
    fitted = small(tmp_path).fit(REAL)
    images = patterns(300).images
    torch.testing.assert_close(fitted.features(images)[-3:], fitted.features(images[-3:]))
    assert fitted.features(images).shape == (300, 4 + 8 + 16 + 8)


@pytest.mark.parametrize("size", [8, 64, 128])
def test_any_size_and_color(size: int) -> None:
    model = ConvNet(channels=3, num_classes=5, width=4, feature_dim=6).eval()
    images = torch.zeros(2, 3, size, size, dtype=torch.uint8)
    assert [layer.shape[1] for layer in model.layers(images)] == [4, 8, 16, 6]
    assert model(images).shape == (2, 5)


def test_settings_must_be_positive() -> None:
    with pytest.raises(ValueError, match=r"^steps must be a whole number of at least 1; got 0"):
        Classifier(steps=0)


def test_a_damaged_cache_is_trained_over(tmp_path: Path) -> None:
    trained = small(tmp_path).fit(REAL).features(TEST.images)
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:100])
    assert torch.equal(trained, small(tmp_path).fit(REAL).features(TEST.images))
    assert torch.equal(trained, small(tmp_path).fit(REAL).features(TEST.images))


def test_features_are_in_units_of_the_real_test_images_spread(tmp_path: Path) -> None:
    spread = small(tmp_path).fit(REAL).features(TEST.images).std(dim=0)
    assert (spread < 1 + 1e-9).all()
    assert (spread > 1 - 1e-9).double().mean() > 0.9  # but for the few that hardly move


def test_a_feature_that_no_real_image_wakes_does_not_drown_the_others(tmp_path: Path) -> None:
    fitted = small(tmp_path).fit(REAL)
    noise = torch.randint(0, 256, (50, 1, 16, 16), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    assert fitted.features(noise).abs().max() < 1000


def test_recall_by_class_and_their_mean(tmp_path: Path) -> None:
    fitted = small(tmp_path).fit(REAL)
    right = (fitted.model(TEST.images).argmax(dim=1) == TEST.labels).numpy()
    by_hand = [right[TEST.labels.numpy() == k].mean() for k in (0, 1)]
    assert list(fitted.recall.values()) == pytest.approx(by_hand)
    assert fitted.balanced_accuracy == pytest.approx(np.mean(by_hand))
    one_class = TEST.subset(torch.nonzero(TEST.labels).flatten())
    assert list(fitted.model.recall(one_class)) == ["coarse"]


def test_perceptual_distance_is_that_of_equation_1(tmp_path: Path) -> None:
    fitted = small(tmp_path).fit(REAL)
    x, y = TEST.images[:3], TEST.images[3:6]
    with torch.inference_mode():
        activations = {}
        for name, images in (("x", x), ("y", y)):
            a, activations[name] = to_float(images), []
            for layer in fitted.model.body:
                a = layer(a)
                activations[name].append(a.double().numpy())
    expected = np.zeros(3)
    for a, b in zip(activations["x"], activations["y"], strict=True):
        for i, row, column in np.ndindex(len(a), *a.shape[2:]):
            p, q = a[i, :, row, column], b[i, :, row, column]
            p, q = p / max(np.linalg.norm(p), 1e-12), q / max(np.linalg.norm(q), 1e-12)
            expected[i] += np.square(p - q).sum() / (a.shape[2] * a.shape[3])
    assert fitted.distances(x, y).numpy() == pytest.approx(expected, rel=1e-5)
    assert fitted.distances(x, x).abs().max() == 0
