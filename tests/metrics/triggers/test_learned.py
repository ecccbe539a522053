"""Learned emission: a small network that tells warped images from clean ones."""

from typing import Any

import pytest
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


def test_the_learning_rate_is_warmed_up_and_annealed_in_one_cycle(monkeypatch: pytest.MonkeyPatch) -> None:
    rates: list[float] = []

    class Watched(torch.optim.AdamW):
        def step(self, closure: Any = None) -> Any:
            rates.append(self.param_groups[0]["lr"])
            return super().step(closure)

    monkeypatch.setattr(torch.optim, "AdamW", Watched)
    prepared(20)
    assert len(rates) == 20
    assert max(rates) == pytest.approx(5e-3, rel=0.05)
    top = rates.index(max(rates))
    assert 0 < top < 10
    assert rates == [*sorted(rates[: top + 1]), *sorted(rates[top + 1 :], reverse=True)]
    assert rates[-1] < rates[0] < max(rates) / 5


def test_the_same_network_whatever_the_ambient_random_state_which_stays() -> None:
    clean, values = smooth_images(20, seed=2), []
    for ambient in (1, 2):
        torch.manual_seed(ambient)
        before = torch.get_rng_state()
        values.append(prepared(3).compute(clean))
        assert torch.equal(torch.get_rng_state(), before)
    assert values[0] == values[1]
