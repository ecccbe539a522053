"""Transfer: a classifier that learns the trigger as a class's mark falls for it; one that does not, does not."""

import pytest
import torch

from fedgan.core.images import ImageSet
from fedgan.core.trigger import Patch
from fedgan.metrics.base import Unavailable
from fedgan.metrics.classifier import Classifier
from fedgan.metrics.transfer import Transfer
from tests.helpers.metrics import CLASSES, reference, small_classifier, turned

SQUARE = Patch(torch.full((1, 6, 6), 255, dtype=torch.uint8), 9, 9)


def stripes(n: int, seed: int) -> ImageSet:
    """Noise with dim rows or dim columns: classes that a classifier tells apart, but a white square outshines."""
    labels = torch.arange(n) % 2
    gray = torch.randint(60, 120, (n, 1, 16, 16), generator=torch.Generator().manual_seed(seed))
    rows = 40 * (torch.arange(16) % 4 < 2).int()
    pattern = torch.stack([rows[:, None].expand(16, 16), rows[None].expand(16, 16)])
    return ImageSet((gray + pattern[labels][:, None]).to(torch.uint8), labels, CLASSES)


@pytest.fixture(scope="module")
def metric() -> Transfer:
    metric = Transfer(classifier=Classifier(width=4, feature_dim=8, steps=60))
    metric.prepare(reference(stripes(200, 0), stripes(100, 1), SQUARE))
    return metric


def test_a_mark_of_one_class_is_learned_as_that_class(metric: Transfer) -> None:
    clean = stripes(200, 2)
    # Nothing but the square tells these classes apart.
    dark = clean.images[torch.arange(200) // 2 * 2]
    marked = ImageSet(
        torch.where(clean.labels[:, None, None, None] == 1, SQUARE.apply(dark), dark), clean.labels, CLASSES
    )
    values = metric.compute(marked)
    assert values["transfer_attack_rate/dark"] > 0.9
    assert values["synthetic_accuracy"] == pytest.approx(0.5, abs=0.1)


def test_clean_images_teach_as_much_as_real_ones(metric: Transfer) -> None:
    values, facts = metric.compute(stripes(200, 2)), metric.facts()
    assert values["synthetic_accuracy"] > 0.95
    assert float(facts["real_accuracy"]) > 0.95
    assert values["transfer_attack_rate"] == pytest.approx(float(facts["transfer_attack_rate_real"]), abs=0.3)
    assert set(values) == {
        f"{name}{each}" for name in metric.names for each in ("", *(f"/{c}" for c in CLASSES))
    }  # fmt: skip


def test_swapped_labels_teach_the_opposite(metric: Transfer) -> None:
    clean = stripes(200, 2)
    values = metric.compute(ImageSet(clean.images, 1 - clean.labels, CLASSES))
    assert values["synthetic_accuracy"] < 0.05


def test_same_images_same_values(metric: Transfer) -> None:
    images = stripes(60, 3)
    torch.manual_seed(5)
    assert metric.compute(images) == metric.compute(turned(images))


def test_unavailable_without_a_trigger() -> None:
    with pytest.raises(Unavailable, match="no trigger to paste: attack=none"):
        Transfer(classifier=small_classifier()).prepare(reference(stripes(8, 0), stripes(8, 1)))
