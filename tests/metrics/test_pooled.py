"""Test images that are training images too (``dataset.pool_splits``): metrics do not take them for training images."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from fedgan.core.images import ImageSet, Splits, has_copy
from fedgan.core.trigger import Patch
from fedgan.metrics.base import Metric, Reference, Unavailable
from fedgan.metrics.classifier import Classifier
from fedgan.metrics.consistency import LabelConsistency
from fedgan.metrics.diversity import Diversity
from fedgan.metrics.frechet import FrechetDistance
from fedgan.metrics.kernel import KernelDistance
from fedgan.metrics.memorization import Memorization
from fedgan.metrics.perceptual import PairedDistance
from fedgan.metrics.precision_recall import PrecisionRecall
from fedgan.metrics.transfer import Transfer
from fedgan.metrics.triggers.emission import EmissionRate
from fedgan.metrics.triggers.pattern import PatternRate
from fedgan.scoring.scorer import Scorer
from tests.helpers.metrics import CLASSES, Pixels, noise, pixels, reference, small_classifier

TRIGGER = Patch(torch.randint(0, 256, (1, 4, 4), generator=torch.Generator().manual_seed(0)).to(torch.uint8), 11, 11)
TRAIN, TEST = noise(120, 0), noise(60, 1)
Facts = dict[str, float | str]

METRICS: dict[str, Callable[[Any], Metric]] = {
    "emission": lambda source: EmissionRate(),
    "pattern": lambda source: PatternRate(),
    "transfer": lambda source: Transfer(classifier=small_classifier()),
    "lpips_classifier": lambda source: PairedDistance(classifier=source),
    "frechet": lambda source: FrechetDistance(classifier=source),
    "kernel": lambda source: KernelDistance(classifier=source),
    "precision_recall": lambda source: PrecisionRecall(classifier=source),
    "diversity": lambda source: Diversity(classifier=source),
    "consistency": lambda source: LabelConsistency(classifier=small_classifier()),
}


def both(one: ImageSet, other: ImageSet) -> ImageSet:
    return ImageSet(torch.cat([one.images, other.images]), torch.cat([one.labels, other.labels]), one.classes)


POOLED = reference(both(TRAIN, TEST), TEST, TRIGGER)


def scored(metric: Metric, real: Reference) -> tuple[Facts, dict[str, float]]:
    metric.prepare(real)
    return metric.facts(), metric.compute(noise(80, 2))


@pytest.mark.parametrize("name", METRICS)
@pytest.mark.parametrize("source", [Pixels, small_classifier], ids=["pixels", "classifier"])
def test_a7_pooled_test_images_change_no_number(name: str, source: Callable[[], Pixels | Classifier]) -> None:
    apart = scored(METRICS[name](source()), reference(TRAIN, TEST, TRIGGER))
    assert scored(METRICS[name](source()), POOLED) == apart


def test_a7_copies_are_left_out_in_order_and_whatever_their_class() -> None:
    real = reference(pixels([1, 2, 3, 4], [5, 6, 7]), pixels([4, 2], [3, 9]))
    assert real.train.images.flatten().tolist() == [1, 5, 6, 7]  # 3 is a test image of the other class
    assert real.facts() == {
        "training_images_that_are_test_images/dark": 3,
        "training_images_that_are_test_images/bright": 0,
    }
    assert len(real.splits.train) == 7


def test_a7_without_copies_the_training_images_are_the_very_same() -> None:
    real = reference(TRAIN, TEST)
    assert real.train is real.splits.train
    assert real.facts() == {}


def test_a7_without_copies_every_number_is_what_it_was() -> None:
    """Values of the commit before copies were left out."""
    before = {
        "lpips_classifier": ("lpips_classifier_real/dark", 19.693098958333334),
        "frechet": ("frechet_classifier_floor_all/bright", 109909.29425705131),
        "kernel": ("kernel_classifier_floor/dark", -3418962.2788562775),
        "precision_recall": ("recall_real/dark", 0.9666666666666667),
        "diversity": ("diversity_real/bright", 19.88515625),
    }
    for name, (fact, value) in before.items():
        facts, _ = scored(METRICS[name](Pixels()), reference(TRAIN, TEST, TRIGGER))
        assert facts[fact] == pytest.approx(value, rel=1e-6)


def test_a7_memorization_is_about_all_that_the_generator_was_trained_on() -> None:
    train, test = pixels([0, 100, 140]), pixels([60, 200])
    pooled = Memorization(classifier=Pixels())
    pooled.prepare(reference(both(train, test), test))
    # Without their own copies the test images' nearest are 40 (to 100) and 60 (to 140): 1 % of the way is 40.2.
    assert pooled.facts()["memorized_threshold/dark"] == pytest.approx(40.2)
    assert pooled.compute(pixels([200, 255]))["memorized"] == 0.5, "200 is a test image that was trained on"
    apart = Memorization(classifier=Pixels())
    apart.prepare(reference(train, test))
    assert apart.compute(pixels([200, 255]))["memorized"] == 0.0


def test_a7_what_is_left_out_is_said_among_the_facts_and_looked_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    looked = []

    def counted(images: ImageSet, others: ImageSet) -> torch.Tensor:
        looked.append(len(images))
        return has_copy(images, others)

    monkeypatch.setattr("fedgan.metrics.base.has_copy", counted)
    scorer = Scorer({name: make(small_classifier()) for name, make in METRICS.items()}, CLASSES)
    scorer.prepare(Reference(Splits("pooled", both(TRAIN, TEST), TEST, pooled=True), TRIGGER, 0, torch.device("cpu")))
    assert looked == [180]
    assert scorer.facts()["real_images"] == {
        "training_images_that_are_test_images/dark": 30,
        "training_images_that_are_test_images/bright": 30,
    }
    assert set(scorer.facts()) == {"real_images", *METRICS}


def test_a7_where_no_training_image_is_left_every_metric_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    bright = TRAIN.subset((TRAIN.labels == 1).nonzero()[:, 0])
    names = {**METRICS, "memorization": lambda source: Memorization(classifier=source)}
    for test, which in ((TRAIN, "dark"), (both(bright, TEST), "bright")):  # of all classes, of one
        scorer = Scorer({name: make(small_classifier()) for name, make in names.items()}, CLASSES)
        scorer.prepare(reference(TRAIN, test, TRIGGER))
        assert set(scorer.absent) == set(names)
        for reason in scorer.absent.values():
            assert f"real training (and not test) images of a class; {which} has 0" in reason
        assert scorer.score(noise(80, 2)) == {}
        assert scorer.facts()["real_images"]["training_images_that_are_test_images/bright"] == 60
    assert "Traceback" not in capsys.readouterr().err


def test_a7_the_classifier_itself_refuses_an_empty_class() -> None:
    with pytest.raises(Unavailable, match=r"it takes 1 real training \(and not test\) images of a class; dark has 0"):
        small_classifier().fit(reference(TEST, TEST))
