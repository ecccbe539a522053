"""The threshold of a trigger's detector: how much oftener than stated fresh clean images exceed it."""

import numpy as np
import pytest
import torch
from torch import Tensor

from fedgan.core.trigger import Patch, Trigger
from fedgan.metrics.base import Unavailable
from fedgan.metrics.triggers.detector import Array, TriggerDetector
from tests.helpers.metrics import pixels, reference

DOT = Patch(torch.full((1, 1, 1), 255, dtype=torch.uint8), 0, 0)


class Brightness(TriggerDetector):
    """The score is the gray level of the only pixel."""

    share, mean_score = "found", "brightness"

    def learn(self, trigger: Trigger, clean: Tensor) -> None:
        pass

    def scores(self, images: Tensor) -> Array:
        return images.flatten().double().numpy()


def test_a12_threshold_and_facts_by_hand() -> None:
    metric = Brightness(false_alarm=0.25)
    metric.prepare(reference(pixels([1, 2, 3, 4, 5, 6, 7, 8, 9]), pixels([0, 10, 20, 30]), DOT))
    facts = metric.facts()
    assert facts["found_threshold"] == 7.0  # a quarter of the way from 9 down to 1
    assert facts["found_false_alarm"] == 0.75
    assert facts["found_power"] == 1.0
    assert facts["brightness_real"] == facts["brightness_real/dark"] == 15.0


def test_false_alarms_are_of_all_images_and_by_class() -> None:
    metric = Brightness(false_alarm=0.25)
    train, test = pixels([1, 3, 5, 7, 9], [11, 13, 15, 17]), pixels([0, 20], [2, 4, 6, 8, 10, 14, 16, 18])
    metric.prepare(reference(train, test, DOT))
    facts = metric.facts()
    assert facts["found_threshold"] == 13.0
    assert facts["found_false_alarm"] == 0.4
    assert facts["found_false_alarm/dark"] == 0.5
    assert facts["found_false_alarm/bright"] == 0.375


def test_a_class_without_a_test_image_is_named() -> None:
    """Its false alarms could not be measured."""
    with pytest.raises(Unavailable, match="^it takes 1 real test images of a class; bright has 0$"):
        Brightness().prepare(reference(pixels([1, 2], [3, 4]), pixels([5], [6]).subset(torch.tensor([0])), DOT))


@pytest.mark.parametrize("count", [100, 400])
def test_a12_fresh_images_exceed_the_threshold_oftener_than_stated_by_one_in_n(count: int) -> None:
    """Scores drawn evenly from [0, 1]: the share of fresh ones above a threshold t is 1 - t."""
    rng, detector, rates = np.random.default_rng(0), Brightness(false_alarm=0.01), []
    for _ in range(1000):
        drawn = rng.uniform(size=count)
        # of the one black training image; of a test image one score
        detector.scores = lambda images, drawn=drawn: drawn[:1] if images.any() else drawn  # type: ignore[method-assign, misc]
        detector.prepare(reference(pixels([0]), pixels([1]), DOT))
        rates.append(1 - float(detector.facts()["found_threshold"]))
    assert np.mean(rates) == pytest.approx(0.01 + 1 / count, rel=0.1)
