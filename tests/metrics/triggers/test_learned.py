"""Learned emission: a small network that tells warped images from clean ones."""

import torch

from fedgan.attacks.warping import Warping
from fedgan.metrics.triggers.learned import LearnedRate
from tests.helpers.images import smooth_images, with_images
from tests.helpers.metrics import reference


def prepared(steps: int) -> LearnedRate:
    metric, trigger = LearnedRate(width=8, steps=steps), Warping(strength=6.0).trigger(1, 32, seed=0)
    metric.prepare(reference(smooth_images(200), smooth_images(100, seed=1), trigger))
    return metric


def test_a_strong_warp_is_found_and_clean_images_are_not() -> None:
    trigger, metric, clean = Warping(strength=6.0).trigger(1, 32, seed=0), prepared(120), smooth_images(60, seed=2)
    assert float(metric.facts()["learned_emission_power"]) > 0.9
    assert float(metric.facts()["learned_emission_false_alarm"]) <= 0.08
    assert metric.compute(with_images(clean, trigger.apply(clean.images)))["learned_emission"] > 0.9
    assert metric.compute(clean)["learned_emission"] <= 0.08


def test_the_same_network_whatever_the_ambient_random_state_which_stays() -> None:
    clean, values = smooth_images(20, seed=2), []
    for ambient in (1, 2):
        torch.manual_seed(ambient)
        before = torch.get_rng_state()
        values.append(prepared(3).compute(clean))
        assert torch.equal(torch.get_rng_state(), before)
    assert values[0] == values[1]
