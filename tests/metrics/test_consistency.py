"""Label consistency: a generator that listens, one that is deaf, one that has it backwards."""

import pytest
import torch

from fedgan.core.images import ImageSet
from fedgan.metrics.consistency import LabelConsistency
from tests.helpers.metrics import CLASSES, noise, reference, small_classifier, turned


@pytest.fixture(scope="module")
def metric() -> LabelConsistency:
    metric = LabelConsistency(classifier=small_classifier())
    metric.prepare(reference(noise(200, 0), noise(100, 1)))
    return metric


def test_known_generators(metric: LabelConsistency) -> None:
    fresh = noise(100, 2)
    facts = dict(metric.facts())
    assert len(str(facts.pop("classifier_weights"))) == 64
    assert facts == {"classifier_recall/dark": 1.0, "classifier_recall/bright": 1.0}
    assert set(metric.compute(fresh).values()) == {1.0}
    assert set(metric.compute(ImageSet(fresh.images, 1 - fresh.labels, CLASSES)).values()) == {0.0}
    deaf = ImageSet(fresh.images, torch.arange(100) // 50, CLASSES)
    assert metric.compute(deaf)["label_consistency"] == 0.5


def test_means_weigh_classes_alike(metric: LabelConsistency) -> None:
    fresh = noise(100, 2)
    always_dark = fresh.images[:2][torch.zeros(100, dtype=torch.int64)]
    uneven = ImageSet(always_dark, (torch.arange(100) < 10).long(), CLASSES)
    values = metric.compute(turned(uneven))
    assert values == {"label_consistency": 0.5, "label_consistency/dark": 1.0, "label_consistency/bright": 0.0}
