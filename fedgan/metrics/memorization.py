"""Memorization: does the generator hand out the images it was trained on?"""

import torch
from torch import Tensor

from fedgan.core.arguments import Seed, component
from fedgan.core.images import ImageSet, Splits, digests
from fedgan.metrics.base import Metric, Reference, Unavailable, need, score_classes, shuffled
from fedgan.metrics.features import FeatureSource
from fedgan.metrics.neighbors import nearest, nearest_other

_QUANTILE = 0.01  # of the held-out images' distances: what counts as suspiciously near


@component
class Memorization(Metric):
    """The share of synthetic images that are as near to a training image as hardly any real image is, in [0, 1].

    Nearer to the nearest image of their class that the generator was trained on, in a classifier's features, than the
    1st percentile of the held-out test images' distances to real training images. Trained on are the images as clients
    have them (``Reference.seen``): changed by their partition, poisoned, under the label that they were trained with;
    also those that are test images (``dataset.pool_splits``): a copy of one of them is memorization like any other.

    The threshold is that of real images as they were read, with and without an attack or a change of clients' images. A
    test image's own copies among the training images are no neighbors of its, so that the threshold is that of images
    which were not trained on.

    ``facts`` has the threshold, the share of the held-out images themselves (about 0.01: what a generator scores that
    memorizes nothing) and of copies of images that were trained on (the power).

    Args:
        classifier: in whose features images are compared.
        seed: of the choice of images that the power is measured with.
    """

    classifier: FeatureSource
    seed: Seed = 0

    names = ("memorized",)

    def prepare(self, reference: Reference) -> None:
        """Set the threshold of each class on its test images; measure it on these and on images trained on."""
        splits, seen = reference.splits, reference.seen
        need(2, "real training", splits.train)
        need(2, "real test", splits.test)
        need(1, "trained-on", seen)
        fitted = self.classifier.fit(reference)
        self._features = fitted.features
        self._seen: list[Tensor] = []
        self._thresholds: list[float] = []
        self._facts: dict[str, float | str] = dict(fitted.facts)
        for label, each in enumerate(splits.classes):
            train = self._features(splits.train.of_class(label))
            self._seen.append(train if seen is splits.train else self._features(seen.of_class(label)))
            held_out = self._held_out(splits, label, train)
            threshold = float(held_out.quantile(_QUANTILE))
            self._thresholds.append(threshold)
            copies = shuffled(seen.of_class(label), self.seed, "copies", label)[: len(held_out)]
            self._facts[f"memorized_threshold/{each}"] = threshold
            self._facts[f"memorized_held_out/{each}"] = float((held_out < threshold).double().mean())
            self._facts[f"memorized_copies/{each}"] = self._share(label, copies)

    def compute(self, synthetic: ImageSet) -> dict[str, float]:
        """``memorized`` and ``memorized/<class>``."""
        need(1, "synthetic", synthetic)
        return score_classes("memorized", synthetic, self._share)

    def facts(self) -> dict[str, float | str]:
        """Per class the threshold, and the shares of held-out images and of copies; the facts of the features."""
        return dict(self._facts)

    def _held_out(self, splits: Splits, label: int, features: Tensor) -> Tensor:
        """The distance of each test image to its nearest training image that is no copy of it: (N,).

        Args:
            splits: the real images.
            label: their class.
            features: of its training images, (M, D).
        """
        train, test = splits.train.of_class(label), splits.test.of_class(label)
        marks = {digest: mark for mark, digest in enumerate(dict.fromkeys(digests(train) + digests(test)))}
        train_marks, test_marks = (torch.tensor([marks[d] for d in digests(part)]) for part in (train, test))
        distances = nearest_other(self._features(test), features, test_marks, train_marks)
        if distances.isinf().any():
            raise Unavailable(f"all training images of {splits.classes[label]} are one and the same")
        return distances

    def _share(self, label: int, images: Tensor) -> float:
        near = nearest(self._features(images), self._seen[label]) < self._thresholds[label]
        return float(near.double().mean())
