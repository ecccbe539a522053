"""A trigger for some classes alone."""

import pytest
import torch

from fedgan.attacks.class_trigger import ClassTrigger
from fedgan.federated.data import share_out
from fedgan.metrics.triggers.emission import EmissionRate
from fedgan.partitions.iid import IID
from tests.helpers.images import random_images, smooth_images
from tests.helpers.metrics import reference


@pytest.mark.parametrize(
    ("classes", "labels"), [(["b"], {1}), ([1], {1}), (["a"], {0}), ([0], {0}), (["b", 0], {0, 1})]
)
def test_only_images_of_the_classes_are_changed(classes: list[str | int], labels: set[int]) -> None:
    images, attack = random_images(20), ClassTrigger(size=4, classes=classes)
    poisoned = attack.poison(images, attack.trigger(1, 32, 0), torch.Generator())
    changed = (poisoned.images != images.images).flatten(1).any(dim=1)
    assert changed.tolist() == [label in labels for label in images.labels.tolist()]


def test_the_share_is_of_these_classes_images() -> None:
    images, attack = random_images(20), ClassTrigger(size=4, classes=["b"], poison_share=0.3)
    poisoned = attack.poison(images, attack.trigger(1, 32, 0), torch.Generator())
    assert int((poisoned.images != images.images).flatten(1).any(dim=1).sum()) == 3


def test_emission_by_class_shows_it() -> None:
    attack, synthetic = ClassTrigger(size=6, classes=["PNEUMONIA"], margin=1), smooth_images(60, seed=2)
    metric, trigger = EmissionRate(), attack.trigger(1, 32, 0)
    metric.prepare(reference(smooth_images(200), smooth_images(100, seed=1), trigger))
    values = metric.compute(attack.poison(synthetic, trigger, torch.Generator()))
    assert values["emission/PNEUMONIA"] == 1.0
    assert values["emission/NORMAL"] < 0.1


def test_classes_that_are_not_there_are_refused_also_in_the_control() -> None:
    words = "^attack.classes must be one of the classes a, b, or a label from 0 to 1; got 'c'$"
    for malicious in (frozenset[int](), frozenset({1})):
        with pytest.raises(ValueError, match=words):
            share_out(random_images(40), IID(), ClassTrigger(size=4, classes=["c"]), malicious, 4, 0)
    with pytest.raises(ValueError, match="^classes must be a list of at least one class, by name or label; got "):
        ClassTrigger(size=4, classes=[])


def test_a_client_without_such_images_has_attacked_nobody() -> None:
    images = random_images(40)
    images.labels[:] = 0
    with pytest.raises(ValueError, match="^attack: changed none of the 10 images of malicious client 1$"):
        share_out(images, IID(), ClassTrigger(size=4, classes=["b"]), frozenset({1}), 4, 0)
