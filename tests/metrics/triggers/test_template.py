"""Template emission: what a trigger adds, found next to what images do anyway."""

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA

from fedgan.attacks.blended import Blended
from fedgan.core.trigger import WanderingPatch
from fedgan.metrics.base import Unavailable
from fedgan.metrics.triggers.emission import EmissionRate
from fedgan.metrics.triggers.pattern import PatternRate
from fedgan.metrics.triggers.template import TemplateRate, main_components, mean_change
from tests.helpers.images import random_images, smooth_images, with_images
from tests.helpers.metrics import reference, square, turned


def test_the_change_is_alpha_times_key_minus_mean() -> None:
    images, trigger = smooth_images(300).images, Blended(alpha=0.2, cells=8).trigger(1, 32, seed=0)
    expected = 0.2 * (trigger.key.double() - images.double().mean(dim=0))
    assert np.abs(mean_change(trigger, images) - expected.numpy()).max() < 0.1, "but for rounding"


def test_components_are_those_of_scikit_learn() -> None:
    rows = smooth_images(60).images.double().flatten(1).numpy()
    expected = PCA(5, svd_solver="full").fit(rows).components_
    assert np.abs(np.abs(main_components(rows, 5) @ expected.T) - np.eye(5)).max() < 1e-6, "up to the sign"
    assert main_components(np.ones((4, 3)), 2).shape == (0, 3), "images that do not differ have none"


def test_scores_are_cosines_next_to_scikit_learns_components() -> None:
    """42 images, a quarter of them components, rounded down to 10; a mean image that is bright on one side."""
    slope = torch.linspace(0, 80, 32).expand(42, 1, 32, 32)
    clean = (smooth_images(42).images.double() / 2 + slope).to(torch.uint8)
    trigger, metric = Blended(alpha=0.2, cells=16).trigger(1, 32, seed=0), TemplateRate()
    metric.learn(trigger, clean)
    rows, change = clean.double().flatten(1).numpy(), mean_change(trigger, clean).flatten()
    background = PCA(10, svd_solver="full").fit(rows).components_
    rest = rows - rows.mean(axis=0)
    rest, own = (x - x @ background.T @ background for x in (rest, change))
    expected = rest @ own / np.linalg.norm(rest, axis=1) / np.linalg.norm(own)
    np.testing.assert_allclose(metric.scores(clean), expected, atol=1e-7)


@pytest.mark.parametrize("channels", [1, 3])
def test_none_all_and_half(channels: int) -> None:
    trigger, metric = Blended(alpha=0.1, cells=16).trigger(channels, 32, seed=0), TemplateRate()
    metric.prepare(reference(smooth_images(400, channels), smooth_images(200, channels, seed=1), trigger))
    clean = smooth_images(100, channels, seed=2)
    poisoned = trigger.apply(clean.images)
    assert metric.facts()["template_emission_power"] == 1.0
    assert float(metric.facts()["template_emission_false_alarm"]) <= 0.04
    assert metric.compute(clean)["template_emission"] <= 0.04
    assert metric.compute(with_images(clean, poisoned))["template_emission"] == 1.0
    half = with_images(clean, torch.cat([poisoned[:50], clean.images[50:]]))
    assert metric.compute(half)["template_emission"] == pytest.approx(0.5, abs=0.03)
    assert metric.compute(turned(half)) == metric.compute(half)


def test_another_key_is_not_the_trigger() -> None:
    trigger, other = (Blended(alpha=0.2, cells=16).trigger(1, 32, seed) for seed in (0, 1))
    metric, clean = TemplateRate(), smooth_images(100, seed=2)
    metric.prepare(reference(smooth_images(400), smooth_images(200, seed=1), trigger))
    assert metric.compute(with_images(clean, other.apply(clean.images)))["template_emission"] <= 0.05


@pytest.mark.parametrize("metric", [EmissionRate(), PatternRate()])
def test_metrics_of_patches_name_the_metric_to_choose(metric: EmissionRate | PatternRate) -> None:
    images = random_images(20)
    blend = Blended(alpha=0.2, cells=8).trigger(1, 32, 0)
    wandering = WanderingPatch(torch.zeros((1, 4, 4), dtype=torch.uint8), 0)
    for trigger, other in ((blend, "template"), (wandering, "anywhere")):
        with pytest.raises(Unavailable, match=rf"^the trigger is no patch at one place: choose metrics=\[{other}\]$"):
            metric.prepare(reference(images, random_images(20, seed=1), trigger))


def test_a_trigger_that_adds_nothing_is_refused_with_the_metric_to_choose() -> None:
    """White on white."""
    white = with_images(random_images(20), torch.full((20, 1, 32, 32), 255, dtype=torch.uint8))
    said = r"^the trigger is without a mean change of the images: choose metrics=\[emission\]$"
    with pytest.raises(Unavailable, match=said):
        TemplateRate().learn(square(4), white.images)
