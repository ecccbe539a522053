"""Frechet distance: closed form, an independent computation, and the metric around it."""

from pathlib import Path

import numpy as np
import pytest
import scipy.linalg
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from fedgan.data import ImageSet, Splits
from fedgan.metrics.base import Reference, Unavailable
from fedgan.metrics.classifier import Classifier
from fedgan.metrics.frechet import FrechetClassifierDistance, Gaussian, fit_gaussian, frechet_distance

CLASSES = ("dark", "bright")


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


def images_of(n: int, seed: int) -> ImageSet:
    labels = torch.arange(n) % 2
    noise = torch.randint(0, 60, (n, 1, 16, 16), generator=torch.Generator().manual_seed(seed))
    return ImageSet((noise + 100 * labels[:, None, None, None]).to(torch.uint8), labels, CLASSES)


REFERENCE = Reference(Splits("noise", images_of(200, 0), images_of(100, 1)), None, 0, torch.device("cpu"))


@pytest.fixture(scope="module")
def metric(tmp_path_factory: pytest.TempPathFactory) -> FrechetClassifierDistance:
    cache = str(tmp_path_factory.mktemp("cache"))
    metric = FrechetClassifierDistance(classifier=Classifier(width=4, feature_dim=8, steps=30, cache=cache))
    metric.prepare(REFERENCE)
    return metric


def test_real_test_images_score_zero(metric: FrechetClassifierDistance) -> None:
    figures = metric.compute(REFERENCE.splits.test)
    assert set(figures) == {"frechet_classifier", "frechet_classifier/dark", "frechet_classifier/bright"}
    assert all(value == pytest.approx(0, abs=1e-5) for value in figures.values())


def test_swapped_classes_are_far_beside_fresh_images_and_the_floor(metric: FrechetClassifierDistance) -> None:
    fresh = images_of(100, 2)
    swapped = ImageSet(fresh.images, 1 - fresh.labels, CLASSES)
    near, far = metric.compute(fresh), metric.compute(swapped)
    for name in CLASSES:
        limit = far[f"frechet_classifier/{name}"] / 100
        assert 0 < near[f"frechet_classifier/{name}"] < limit
        assert 0 < float(metric.facts()[f"frechet_floor/{name}"]) < limit
    assert metric.facts()["classifier_balanced_accuracy"] == 1.0


def test_order_of_images_does_not_matter(metric: FrechetClassifierDistance) -> None:
    images = images_of(100, 3)
    order = torch.randperm(100, generator=torch.Generator().manual_seed(0))
    assert metric.compute(images.subset(order)) == pytest.approx(metric.compute(images), rel=1e-4)


def test_unavailable_with_a_single_real_image(tmp_path: Path) -> None:
    train = images_of(200, 0)
    alone = train.subset(torch.tensor([0, 1, 3, 5]))
    reference = Reference(Splits("alone", train, alone), None, 0, torch.device("cpu"))
    with pytest.raises(Unavailable, match="fewer than two real images of class dark"):
        FrechetClassifierDistance(classifier=Classifier(cache=str(tmp_path))).prepare(reference)
