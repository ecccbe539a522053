"""Kernel distance: against sklearn's kernel, and what unbiased means."""

import numpy as np
import pytest
import torch
from sklearn.metrics.pairwise import polynomial_kernel

from fedgan.metrics import kernel
from fedgan.metrics.kernel import KernelDistance, squared_mmd
from tests.helpers.metrics import noise, reference, small_classifier, turned


def normal(n: int, seed: int, shift: float = 0.0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(shift, size=(n, 5)))


def test_agrees_with_sklearns_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel, "_BLOCK", 7)  # several blocks, the last of them shorter
    x, y = normal(30, 0), normal(40, 1, shift=0.3)
    xx, yy, xy = (polynomial_kernel(a, b, degree=3) for a, b in ((x, x), (y, y), (x, y)))  # (x.y / D + 1)^3
    expected = (xx.sum() - np.trace(xx)) / (30 * 29) + (yy.sum() - np.trace(yy)) / (40 * 39) - 2 * xy.mean()
    assert squared_mmd(x, y) == pytest.approx(expected)


def test_is_unbiased() -> None:
    same = np.array([squared_mmd(normal(20, 2 * i), normal(20, 2 * i + 1)) for i in range(400)])
    assert abs(same.mean()) < 3 * same.std() / np.sqrt(len(same))
    assert same.min() < 0 < same.max()


def test_tells_swapped_classes_from_fresh_images() -> None:
    metric = KernelDistance(classifier=small_classifier())
    metric.prepare(reference(noise(200, 0), noise(100, 1)))
    fresh = noise(100, 2)
    swapped = type(fresh)(fresh.images, 1 - fresh.labels, fresh.classes)
    near, far = metric.compute(fresh), metric.compute(swapped)
    assert set(near) == {"kernel_classifier", "kernel_classifier/dark", "kernel_classifier/bright"}
    for name in fresh.classes:
        assert abs(near[f"kernel_classifier/{name}"]) < far[f"kernel_classifier/{name}"] / 100
        assert abs(float(metric.facts()[f"kernel_classifier_floor/{name}"])) < far[f"kernel_classifier/{name}"] / 100
    assert metric.compute(turned(fresh)) == near
