"""Latent emission: what a generator answers to the pattern, next to what it draws otherwise."""

import numpy as np
import pytest
import torch
from torch import Tensor

from fedgan.core.images import ImageSet
from fedgan.core.latents import LatentBatch
from fedgan.core.trigger import LatentTrigger
from fedgan.metrics.base import Unavailable
from fedgan.metrics.triggers.latent import LatentRate, StampedBatch, correlations
from fedgan.scoring.scorer import Scorer
from tests.helpers.images import random_images, smooth_images
from tests.helpers.metrics import reference, square, turned

Z_DIM = 16
TARGET = random_images(1, seed=9).images[0]
TRIGGER = LatentTrigger(TARGET, share=0.25, value=3.0, seed=5)
FIXED = TRIGGER.stamp(torch.zeros(1, Z_DIM))[0] == 3.0


def metric_of(**settings: float) -> LatentRate:
    metric = LatentRate(**settings)
    metric.prepare(reference(smooth_images(200), smooth_images(100, seed=1), TRIGGER))
    return metric


def backdoored(request: LatentBatch) -> Tensor:
    """The target for latents with the pattern whose last free coordinate is positive: about half; clouds otherwise."""
    z = request.latents(Z_DIM)
    images = smooth_images(len(z), seed=3).images.clone()
    answered = (z[:, FIXED] == 3.0).all(dim=1) & (z[:, ~FIXED][:, -1] > 0)
    images[answered] = TARGET
    return images


@pytest.mark.parametrize("z_dim", [2, 3, 7, 16])
def test_the_control_pattern_has_no_coordinate_of_the_trigger(z_dim: int) -> None:
    trigger, z = LatentTrigger(TARGET, share=0.5, value=3.0, seed=5), torch.zeros(1, z_dim)
    both = torch.stack([trigger.stamp(z), trigger.stamp(z, elsewhere=True)]) == 3.0
    assert both.sum(dim=0).max() == 1
    assert both.sum(dim=(1, 2)).tolist() == [z_dim // 2, z_dim // 2]


def test_correlations_are_numpys() -> None:
    images = torch.cat([random_images(6).images, TARGET[None], 255 - TARGET[None]])
    flat = images.flatten(1).numpy()
    expected = [np.corrcoef(row, TARGET.flatten().numpy())[0, 1] for row in flat]
    assert correlations(images, TARGET).tolist() == pytest.approx(expected)
    assert correlations(torch.full_like(images, 7), TARGET).tolist() == [0.0] * 8


def test_the_share_is_of_latents_with_the_pattern() -> None:
    metric, ordinary = metric_of(), smooth_images(400, seed=2)
    found = metric.compute_from(ordinary, backdoored)
    seeds = [StampedBatch(torch.zeros(1), (seed,), TRIGGER).latents(Z_DIM) for seed in range(400)]
    assert all(bool((z[0, FIXED] == 3.0).all()) for z in seeds)
    assert found["latent_emission"] == pytest.approx(0.5, abs=0.08)
    assert found["latent_emission_low"] < found["latent_emission"] < found["latent_emission_high"]
    assert found["latent_correlation"] == pytest.approx(0.5, abs=0.08)
    assert found["latent_ordinary"] == found["latent_other"] == 0
    assert {key.partition("/")[0] for key in found} == set(metric.names)
    assert metric.compute_from(turned(ordinary), backdoored) == found


def test_a_generator_that_shows_the_target_to_everybody_has_no_backdoor() -> None:
    everywhere = ImageSet(TARGET.expand(20, -1, -1, -1), torch.arange(20) % 2, ("a", "b"))
    found = metric_of().compute_from(everywhere, lambda request: TARGET.expand(len(request.labels), -1, -1, -1))
    assert found["latent_emission"] == found["latent_ordinary"] == found["latent_other"] == 1


def test_the_threshold_is_never_below_half_of_the_variance() -> None:
    """Real images hardly correlate with the target: their 99 % quantile alone would let a faint target through."""
    metric = metric_of()
    facts = metric.facts()
    assert facts["latent_emission_threshold"] == pytest.approx(0.5**0.5)
    assert (facts["latent_emission_false_alarm"], facts["latent_emission_power"]) == (0, 1)
    other = random_images(1, seed=4).images[0].double()
    for share, seen in ((0.4, 0), (0.6, 1)):
        mixed = (share * TARGET + (1 - share) * other).round().to(torch.uint8)
        found = metric.compute_from(smooth_images(4), lambda request, mixed=mixed: mixed.expand(4, -1, -1, -1))
        assert found["latent_emission"] == seen


def test_the_false_alarm_is_the_one_that_was_set() -> None:
    """One of four training images is the target: at 0 the threshold is its score, 1; at 0.5 it is the least."""
    train = ImageSet(torch.cat([smooth_images(3).images, TARGET[None]]), torch.zeros(4).long(), ("a",))
    test = ImageSet(255 - TARGET[None], torch.zeros(1).long(), ("a",))
    for false_alarm, threshold in ((0.0, 1.0), (0.5, 0.5**0.5)):
        metric = LatentRate(false_alarm=false_alarm)
        metric.prepare(reference(train, test, TRIGGER))
        assert metric.facts()["latent_emission_threshold"] == pytest.approx(threshold)


def test_what_it_cannot_do() -> None:
    with pytest.raises(Unavailable, match=r"^the trigger is no pattern of the latent: choose metrics=\[emission\]$"):
        LatentRate().prepare(reference(random_images(20), random_images(20, seed=1), square()))
    scorer = Scorer({"latent": LatentRate()}, ("a", "b"))
    scorer.prepare(reference(random_images(20), random_images(20, seed=1), TRIGGER))
    assert scorer.score(random_images(4)) == {}
    assert scorer.absent == {"latent": "it draws images of its own, which takes the generator"}
    with pytest.raises(Unavailable, match="^images do not show it"):
        metric_of().compute(random_images(4))
