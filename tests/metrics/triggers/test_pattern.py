"""Pattern emission: a trigger's pattern is found however faint, and nothing is found where there is none."""

import numpy as np
import pytest
import torch
from torch import Tensor

from fedgan.core.trigger import Patch
from fedgan.metrics.base import Unavailable
from fedgan.metrics.triggers.emission import EmissionRate
from fedgan.metrics.triggers.pattern import PatternRate, correlations
from tests.helpers.images import blurred, smooth_images, with_images
from tests.helpers.metrics import mosaic, reference, square


def prepared(size: int) -> PatternRate:
    metric = PatternRate()
    clouds = smooth_images(400, 3), smooth_images(200, 3, seed=1)
    metric.prepare(reference(*(with_images(part, grained(part.images)) for part in clouds), mosaic(size)))
    return metric


def grained(images: Tensor, strength: float = 6.0) -> Tensor:
    """With pixel noise, as photographs have it: of smooth patches a pattern's chance correlation is wide."""
    noise = np.random.default_rng(int(images.sum()) % 1000).normal(0, strength, images.shape)
    return (images.float() + torch.from_numpy(noise).float()).clamp(0, 255).to(torch.uint8)


def ghost(images: Tensor, size: int, share: float) -> Tensor:
    """The trigger added with a share of its contrast to the image's own color there."""
    trigger, painted = mosaic(size), images.float()
    rows, columns = trigger.window
    pattern = trigger.pattern.float()
    painted[..., rows, columns] += share * (pattern - pattern.mean((-2, -1), keepdim=True))
    return painted.clamp(0, 255).to(torch.uint8)


@pytest.mark.parametrize("size", [4, 8])
def test_a_faint_mosaic_is_found_which_emission_misses(size: int) -> None:
    metric, clean = prepared(size), smooth_images(200, 3, seed=2)
    images = with_images(clean, ghost(grained(clean.images), size, 0.2))
    values = metric.compute(images)
    for name in ("pattern_emission", "pattern_emission/NORMAL", "pattern_emission/PNEUMONIA"):
        assert values[name] > 0.95
    emission = EmissionRate()
    emission.prepare(reference(smooth_images(400, 3), smooth_images(200, 3, seed=1), mosaic(size)))
    assert emission.compute(images)["emission"] < 0.5


@pytest.mark.parametrize("size", [2, 4, 8])
def test_clean_images_and_pasted_triggers(size: int) -> None:
    metric, clean = prepared(size), smooth_images(200, 3, seed=2)
    without = metric.compute(with_images(clean, grained(clean.images)))
    assert without["pattern_emission"] <= 0.031  # 1 % is stated; three standard errors of 200 images are 2.1 %
    assert abs(without["pattern_correlation"]) < 0.1
    assert abs(float(metric.facts()["pattern_correlation_real"])) < 0.1
    pasted = metric.compute(with_images(clean, mosaic(size).apply(clean.images)))
    assert pasted["pattern_emission"] == 1.0
    assert pasted["pattern_correlation"] == pytest.approx(1.0)
    assert metric.facts()["pattern_emission_power"] == 1.0
    assert float(metric.facts()["pattern_emission_false_alarm"]) <= 0.031


def test_a_blurred_mosaic_is_found() -> None:
    metric, clean = prepared(8), smooth_images(100, 3, seed=2)
    synthetic = with_images(clean, blurred(mosaic(8).apply(clean.images), 0.7))
    assert metric.compute(synthetic)["pattern_emission"] == 1.0


def test_another_mosaic_is_not_the_trigger() -> None:
    metric, clean = prepared(8), smooth_images(100, 3, seed=2)
    other = clean.images.clone()
    rows, columns = mosaic(8).window
    other[..., rows, columns] = mosaic(8).pattern.flip(-1)
    assert metric.compute(with_images(clean, other))["pattern_emission"] <= 0.05


def test_correlation_is_numpys() -> None:
    rng = np.random.default_rng(0)
    patches, pattern = rng.normal(size=(5, 1, 4, 4)), rng.normal(size=(1, 4, 4))
    expected = [np.corrcoef(patch.ravel(), pattern.ravel())[0, 1] for patch in patches]
    assert correlations(patches, pattern) == pytest.approx(expected)


def test_a_trigger_of_one_color_has_no_pattern() -> None:
    with pytest.raises(Unavailable, match="the trigger is of one color"):
        PatternRate().prepare(reference(smooth_images(20), smooth_images(20, seed=1), square(4)))
    red = torch.tensor([255, 0, 0], dtype=torch.uint8).view(3, 1, 1).expand(3, 4, 4)
    with pytest.raises(Unavailable, match="the trigger is of one color"):
        PatternRate().prepare(reference(smooth_images(20, 3), smooth_images(20, 3, seed=1), Patch(red, 0, 0)))


def test_false_alarm_out_of_range() -> None:
    with pytest.raises(ValueError, match=r"^false_alarm must be a number in \[0, 1\); got 1.0"):
        PatternRate(false_alarm=1.0)
