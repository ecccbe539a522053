"""Frechet distance: closed form, an independent computation, and the metric around it."""

from dataclasses import replace

import numpy as np
import pytest
import scipy.linalg
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from fedgan.core.images import ImageSet
from fedgan.core.trigger import Patch
from fedgan.datasets.chest_phantom import ChestPhantom
from fedgan.metrics.base import Unavailable
from fedgan.metrics.classifier import Classifier
from fedgan.metrics.frechet import FrechetDistance, Gaussian, fit_gaussian, frechet_distance
from tests.helpers.metrics import CLASSES, Pixels, noise, reference, small_classifier, turned


def sample(n: int, d: int, seed: int) -> NDArray[np.float64]:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, d)) @ rng.normal(size=(d, d)) + rng.normal(size=d)


def test_one_dimension_by_hand() -> None:
    p = Gaussian(np.array([1.0]), np.array([[4.0]]))
    q = Gaussian(np.array([4.0]), np.array([[25.0]]))
    assert frechet_distance(p, q) == pytest.approx(3**2 + (2 - 5) ** 2)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), d=st.integers(1, 12))
def test_agrees_with_sqrtm_and_is_symmetric(seed: int, d: int) -> None:
    p, q = fit_gaussian(sample(60, d, seed)), fit_gaussian(sample(40, d, seed + 1))
    root = scipy.linalg.sqrtm(p.covariance @ q.covariance).real
    expected = np.square(p.mean - q.mean).sum() + np.trace(p.covariance + q.covariance - 2 * root)
    assert frechet_distance(p, q) == pytest.approx(expected, rel=1e-6, abs=1e-6)
    assert frechet_distance(q, p) == pytest.approx(expected, rel=1e-6, abs=1e-6)


def test_invariant_under_rotation_and_shift() -> None:
    a, b = sample(50, 6, 0), sample(70, 6, 1)
    rotation, _ = np.linalg.qr(np.random.default_rng(2).normal(size=(6, 6)))
    expected = frechet_distance(fit_gaussian(a), fit_gaussian(b))
    moved = frechet_distance(fit_gaussian(a @ rotation + 5), fit_gaussian(b @ rotation + 5))
    assert moved == pytest.approx(expected)


def test_fewer_samples_than_features() -> None:
    few = sample(5, 64, 0)
    assert frechet_distance(fit_gaussian(few), fit_gaussian(few)) == pytest.approx(0, abs=1e-4)
    assert np.isfinite(frechet_distance(fit_gaussian(few), fit_gaussian(sample(3, 64, 1))))


def test_one_sample_has_no_covariance() -> None:
    with pytest.raises(ValueError, match="at least two images of a class; got 1"):
        fit_gaussian(np.zeros((1, 3)))


REFERENCE = reference(noise(200, 0), noise(100, 1))


@pytest.fixture(scope="module")
def metric() -> FrechetDistance:
    metric = FrechetDistance(classifier=small_classifier())
    metric.prepare(REFERENCE)
    return metric


def test_real_test_images_score_zero(metric: FrechetDistance) -> None:
    values = metric.compute(REFERENCE.splits.test)
    assert set(values) == {"frechet_classifier", "frechet_classifier/dark", "frechet_classifier/bright"}
    assert all(value == pytest.approx(0, abs=1e-5) for value in values.values())


def test_swapped_classes_are_far_compared_with_fresh_images_and_the_floor(metric: FrechetDistance) -> None:
    fresh = noise(100, 2)
    swapped = ImageSet(fresh.images, 1 - fresh.labels, CLASSES)
    near, far = metric.compute(fresh), metric.compute(swapped)
    for name in CLASSES:
        limit = far[f"frechet_classifier/{name}"] / 100
        assert 0 < near[f"frechet_classifier/{name}"] < limit
        assert 0 < float(metric.facts()[f"frechet_classifier_floor/{name}"]) < limit
        assert 0 < float(metric.facts()[f"frechet_classifier_floor_all/{name}"]) < limit
    assert metric.facts()["classifier_balanced_accuracy"] == 1.0


def test_order_of_images_does_not_matter(metric: FrechetDistance) -> None:
    images = noise(100, 3)
    assert metric.compute(turned(images)) == metric.compute(images)


def test_unavailable_with_a_single_image() -> None:
    train = noise(200, 0)
    alone = train.subset(torch.tensor([0, 1, 3, 5]))
    metric = FrechetDistance(classifier=small_classifier())
    with pytest.raises(Unavailable, match="it takes 2 real test images of a class; dark has 1"):
        metric.prepare(reference(train, alone))
    with pytest.raises(Unavailable, match="it takes 2 synthetic images of a class; dark has 1"):
        metric.compute(alone)


def test_orders_chest_x_rays_as_a_person_would() -> None:
    splits = ChestPhantom(image_size=32, train_per_class=200, test_per_class=100, seed=0).load()
    metric = FrechetDistance(classifier=Classifier(width=8, feature_dim=16, steps=100))
    metric.prepare(reference(splits.train, splits.test))
    real = splits.train.images
    square = Patch(torch.full((1, 8, 8), 255, dtype=torch.uint8), 23, 23)
    cases = {
        "real": real,
        "trigger pasted": square.apply(real),
        "blurred": torch.from_numpy(gaussian_filter(real.numpy(), (0, 0, 1.5, 1.5))),
        "uniform noise": torch.randint_like(real, 256, generator=torch.Generator().manual_seed(0)),
    }
    scores = {
        name: metric.compute(ImageSet(pixels, splits.train.labels, splits.classes))["frechet_classifier"]
        for name, pixels in cases.items()
    }
    assert list(scores) == sorted(scores, key=scores.__getitem__), scores
    assert 2 * scores["real"] < scores["trigger pasted"], scores


def test_the_floor_is_of_as_many_images_as_are_scored() -> None:
    """Of 80 training images a class: 20 test images' worth unless it is known how many are scored, at most all."""
    real = reference(noise(160, 0), noise(40, 1))
    facts = {}
    for scored in (None, 20, 60, 1000):
        metric = FrechetDistance(classifier=Pixels())
        metric.prepare(replace(real, synthetic_per_class=scored))
        facts[scored] = metric.facts()
    floors = {scored: float(each["frechet_classifier_floor/dark"]) for scored, each in facts.items()}
    counts = {scored: each["frechet_classifier_floor_images/dark"] for scored, each in facts.items()}
    assert counts == {None: 20, 20: 20, 60: 60, 1000: 80}
    assert floors[20] == floors[None] > floors[60] > floors[1000]
    assert facts[1000]["frechet_classifier_floor/dark"] == facts[None]["frechet_classifier_floor_all/dark"]
