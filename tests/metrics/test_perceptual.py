"""Mean paired distance and its standard error; diversity, which sees what paired distances do not."""

import math

import numpy as np
import pytest
import torch

from fedgan.core.images import ImageSet
from fedgan.metrics.base import Unavailable
from fedgan.metrics.diversity import Diversity
from fedgan.metrics.perceptual import PairedDistance, mean_distance
from tests.helpers.metrics import CLASSES, Pixels, noise, pixels, reference, small_classifier, turned


def test_one_real_image_makes_the_pairs_known() -> None:
    metric = PairedDistance(classifier=Pixels())
    metric.prepare(reference(pixels([0, 0], [0, 4]), pixels([10, 10], [100, 100])))
    values = metric.compute(pixels([10, 14, 18], [90, 110]))
    spread = np.std([0, 4, 8], ddof=1) / math.sqrt(3)
    assert values["lpips_classifier/dark"] == pytest.approx(4.0)
    assert values["lpips_classifier_se/dark"] == pytest.approx(spread)
    assert values["lpips_classifier/bright"] == pytest.approx(10.0)
    assert values["lpips_classifier_se/bright"] == 0.0
    assert values["lpips_classifier"] == pytest.approx(7.0)
    assert values["lpips_classifier_se"] == pytest.approx(spread / 2)
    assert metric.facts() == {
        "features": "pixels",
        "lpips_classifier_real/dark": 10.0,
        "lpips_classifier_real/bright": 98.0,
    }


def test_real_images_are_used_equally_often() -> None:
    metric = PairedDistance(classifier=Pixels())
    metric.prepare(reference(pixels([0, 0]), pixels([10, 20])))
    assert metric.compute(pixels([0] * 6))["lpips_classifier"] == pytest.approx(15.0)


def test_standard_error_is_the_spread_over_seeds() -> None:
    real = reference(noise(400, 0), noise(400, 1))
    values = []
    for seed in range(60):
        metric = PairedDistance(classifier=Pixels(), seed=seed)
        metric.prepare(real)
        values.append(metric.compute(noise(100, 2 + seed, size=16)))
    stated = np.mean([each["lpips_classifier_se"] for each in values])
    assert np.std([each["lpips_classifier"] for each in values]) == pytest.approx(stated, rel=0.35)


def shades(n: int, spread: float, rng: np.random.Generator) -> ImageSet:
    """Images of one class, each of its own brightness, with a little noise."""
    gray = rng.normal(128, spread, (n, 1, 1, 1)) + rng.normal(0, 3, (n, 1, 2, 2))
    images = torch.from_numpy(gray.clip(0, 255).astype(np.uint8))
    return ImageSet(images, torch.zeros(n, dtype=torch.int64), CLASSES[:1])


@pytest.mark.parametrize(("synthetic", "real"), [(1000, 234), (200, 234)])
def test_a11_standard_error_is_the_spread_over_draws_of_both_kinds_of_image(synthetic: int, real: int) -> None:
    rng, values = np.random.default_rng(0), []
    for _ in range(500):
        metric = PairedDistance(classifier=Pixels())
        metric.prepare(reference(shades(20, 40, rng), shades(real, 40, rng)))
        values.append(metric.compute(shades(synthetic, 20, rng)))
    spread = np.std([each["lpips_classifier"] for each in values], ddof=1)
    stated = np.mean([each["lpips_classifier_se"] for each in values])
    assert stated == pytest.approx(spread, rel=0.05)  # the spread of 500 is known to 3 %


def test_a11_pairs_that_share_an_image_by_hand() -> None:
    """Distances 1, 3, 7, 9 about 5: the deviations -4, -2 share an image, 2 and 4 another."""
    x, y = pixels([1, 3, 17, 19]).images, pixels([0, 0, 10, 10]).images
    shared = mean_distance(Pixels(), x, y, torch.tensor([0, 0, 1, 1]))
    variance = (16 + 4 + 4 + 16) / 3 / 4 + 2 * (4 * 2 + 2 * 4) / 4**2
    assert shared == pytest.approx((5.0, math.sqrt(variance)))
    crossed = mean_distance(Pixels(), x, y, torch.tensor([0, 1, 0, 1]))  # products -8 and -8: no variance is below 0
    assert crossed == mean_distance(Pixels(), x, y)
    assert crossed.se == pytest.approx(math.sqrt(40 / 3 / 4))


def test_a11_standard_error_of_diversity_is_the_spread_over_draws() -> None:
    rng, values = np.random.default_rng(0), []
    metric = Diversity(classifier=Pixels())
    metric.prepare(reference(shades(4, 40, rng), shades(4, 40, rng)))
    values = [metric.compute(shades(100, 20, rng)) for _ in range(1000)]
    spread = np.std([each["diversity"] for each in values], ddof=1)
    assert np.mean([each["diversity_se"] for each in values]) == pytest.approx(spread, rel=0.05)


def test_too_few_images_have_no_standard_error() -> None:
    metric = PairedDistance(classifier=Pixels())
    metric.prepare(reference(pixels([0, 1]), pixels([2, 3])))
    with pytest.raises(Unavailable, match="it takes 2 synthetic images"):
        metric.compute(pixels([1]))
    diversity = Diversity(classifier=Pixels())
    with pytest.raises(Unavailable, match="it takes 4 real test images"):
        diversity.prepare(reference(pixels([0, 1]), pixels([2, 3])))


def test_pairs_are_of_different_images() -> None:
    metric = Diversity(classifier=Pixels())
    metric.prepare(reference(pixels([1]), pixels([0, 0, 100, 100])))
    powers = pixels([1, 2, 4, 8, 16, 32])  # all differences differ: no image is paired with itself, or used twice
    assert metric.compute(powers)["diversity"] * 3 in {
        sum(abs(a - b) for a, b in pairing) for pairing in pairings([1, 2, 4, 8, 16, 32])
    }


def pairings(values: list[int]) -> list[list[tuple[int, int]]]:
    """All ways to share out values in pairs."""
    if not values:
        return [[]]
    first, rest = values[0], values[1:]
    return [[(first, x), *more] for x in rest for more in pairings([v for v in rest if v != x])]


def test_a_collapse_shows_in_diversity_and_not_in_the_paired_distance() -> None:
    real = reference(noise(200, 0), noise(400, 1))
    paired, diversity = PairedDistance(classifier=small_classifier()), Diversity(classifier=small_classifier())
    paired.prepare(real)
    diversity.prepare(real)
    varied = noise(400, 2)
    first = varied.images[:2]  # one of either class
    collapsed = ImageSet(first[varied.labels], varied.labels, varied.classes)
    same, fresh = paired.compute(collapsed)["lpips_classifier"], paired.compute(varied)["lpips_classifier"]
    assert same == pytest.approx(fresh, rel=0.1)
    assert diversity.compute(collapsed)["diversity"] == 0.0
    assert diversity.compute(collapsed)["diversity_se"] == 0.0
    values = diversity.compute(varied)
    assert values["diversity"] > 0
    for name in varied.classes:
        assert values[f"diversity/{name}"] == pytest.approx(diversity.facts()[f"diversity_real/{name}"], rel=0.1)
    assert diversity.compute(turned(varied)) == values
    assert paired.compute(turned(varied)) == paired.compute(varied)
