"""Improved precision and recall: clouds with known answers, and prdc's definition in plain numpy."""

import numpy as np
import pytest
import torch
from sklearn.neighbors import NearestNeighbors

from fedgan.metrics.base import Unavailable
from fedgan.metrics.precision_recall import PrecisionRecall, share_within
from tests.helpers.metrics import Pixels, pixels, reference, turned


def cloud(n: int, seed: int, shift: float = 0.0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(shift, size=(n, 3)))


@pytest.mark.parametrize("shift", [0.0, 1.0, 3.0])
def test_agrees_with_sklearns_neighbors(shift: float) -> None:
    points, manifold = cloud(700, 0), cloud(600, 1, shift)  # more than one block
    radii = NearestNeighbors(n_neighbors=4).fit(manifold).kneighbors(manifold)[0][:, 3]  # the first is the point itself
    distances = np.linalg.norm(points[:, None].numpy() - manifold[None].numpy(), axis=-1)
    expected = (distances <= radii).any(axis=1).mean()
    assert share_within(points, manifold) == pytest.approx(expected)


def prepared(test: list[int], train: list[int]) -> PrecisionRecall:
    metric = PrecisionRecall(classifier=Pixels())
    metric.prepare(reference(pixels(train), pixels(test)))
    return metric


def test_known_clouds() -> None:
    two_modes = [0, 1, 2, 3, 4, 100, 101, 102, 103, 104]
    metric = prepared(two_modes, [5, 6, 7, 105, 106, 107])  # within the balls of 4 and 104; theirs reach everywhere
    assert metric.facts() == {
        "features": "pixels",
        **{name: 1.0 for part in ("precision", "recall") for name in (f"{part}_real", f"{part}_real/dark")},
    }
    far_off = metric.compute(pixels([200, 201, 202, 203, 204, 210, 211, 212, 213, 214]))
    assert (far_off["precision"], far_off["recall"]) == (0.0, 0.0)
    one_mode = metric.compute(pixels([0, 1, 2, 3, 4, 0, 1, 2, 3, 4]))
    assert (one_mode["precision"], one_mode["recall"]) == (1.0, 0.5)
    half_rubbish = metric.compute(pixels([0, 2, 4, 100, 102, 50, 51, 52, 53, 200]))
    assert half_rubbish["precision"] == 0.5


def test_as_many_real_as_synthetic_images_are_compared() -> None:
    metric = prepared(list(range(0, 200, 2)), list(range(40)))
    few = metric.compute(pixels([0, 60, 120, 198]))
    many = metric.compute(pixels(list(range(200))))
    assert few["recall"] == 1.0, "four wide balls contain any four real images"
    assert many["precision"] == 1.0
    assert metric.compute(turned(pixels(list(range(200))))) == many


def test_fewer_images_than_neighbors() -> None:
    with pytest.raises(Unavailable, match="it takes 4 synthetic images of a class; dark has 3"):
        prepared([1, 2, 3, 4], [5, 6, 7, 8]).compute(pixels([1, 2, 3]))
