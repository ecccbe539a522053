"""Wrong labels on unchanged images."""

import pytest
import torch

from fedgan.attacks.label_flip import LabelFlip, flipped
from fedgan.core.images import ImageSet
from fedgan.federated.data import share_out
from fedgan.partitions.iid import IID
from tests.helpers.images import random_images


def three(count: int = 30) -> ImageSet:
    return ImageSet(random_images(count).images, torch.arange(count) % 3, ("a", "b", "c"))


def test_all_labels_by_hand() -> None:
    assert flipped(torch.tensor([0, 1, 1]), 2).tolist() == [1, 0, 0]
    assert flipped(torch.tensor([0, 1, 2]), 3).tolist() == [2, 1, 0]


@pytest.mark.parametrize(("source", "target"), [("a", "c"), (0, 2), ("a", 2)])
def test_one_class_becomes_another_and_images_stay(source: str | int, target: str | int) -> None:
    images, attack = three(), LabelFlip(source=source, target=target)
    poisoned = attack.poison(images, None, torch.Generator())
    assert poisoned.labels.tolist() == [2, 1, 2] * 10
    assert torch.equal(poisoned.images, images.images)


def test_the_share_is_of_those_whose_label_would_change() -> None:
    images = three()
    poisoned = LabelFlip(poison_share=0.5).poison(images, None, torch.Generator())
    changed = poisoned.labels != images.labels
    assert int(changed.sum()) == 10, "of the 20 that are not in the middle"
    assert not (changed & (images.labels == 1)).any()


def test_the_report_counts_labels() -> None:
    """A report of pixels alone would say that nothing was changed, and end the run."""
    data = share_out(random_images(40), IID(), LabelFlip(), frozenset({1}), 4, 0)
    (report,) = data.reports
    assert (report.images_changed, report.labels_changed, report.share_changed, report.mean_change) == (10, 10, 0, 0)
    assert data.trigger is None


def test_a_client_without_the_source_has_attacked_nobody() -> None:
    images = random_images(40)
    images.labels[:] = 0
    with pytest.raises(ValueError, match="^attack: changed none of the 10 images"):
        share_out(images, IID(), LabelFlip(source="b", target="a"), frozenset({1}), 4, 0)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"source": "z", "target": "a"}, "attack.source must be one of the classes a, b, or a label from 0 to 1"),
        ({"source": "a", "target": 5}, "attack.target must be one of the classes a, b, or a label from 0 to 1; got 5"),
        ({"source": "a", "target": 0}, "attack.target must be another class than source=a; got 0"),
    ],
)
def test_refusals_that_need_the_data(settings: dict[str, str], words: str) -> None:
    with pytest.raises(ValueError, match=f"^{words}"):
        share_out(random_images(40), IID(), LabelFlip(**settings), frozenset(), 4, 0)  # type: ignore[arg-type]


def test_one_class_has_no_other_label_to_get() -> None:
    LabelFlip().setup(("a", "b"), malicious=1)
    said = r"^dataset\.classes must be at least 2 classes for attack=label_flip; got \('a',\)$"
    with pytest.raises(ValueError, match=said):
        LabelFlip().setup(("a",), malicious=1)


def test_source_and_target_come_together() -> None:
    with pytest.raises(ValueError, match="^target must be null exactly where source is; it is a; got null$"):
        LabelFlip(source="a")
