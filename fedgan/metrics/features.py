"""Distances between populations of features: how far synthetic images of a class are from real ones as a whole."""

from abc import abstractmethod
from typing import Protocol

from torch import Tensor

from fedgan.core.arguments import Seed, component
from fedgan.core.images import ImageSet
from fedgan.metrics.base import Metric, Reference, need, score_classes, shuffled


class Features(Protocol):
    """Turns images into features, and says what has to be known of how (``facts``)."""

    facts: dict[str, float | str]

    def features(self, images: Tensor) -> Tensor:
        """uint8 (N, C, H, W) to float64 (N, D), on the CPU."""


class FeatureSource(Protocol):
    """A network before it is trained or loaded: the small classifier of the real images, or Inception."""

    def fit(self, reference: Reference) -> Features:
        """Make it ready for these images."""


@component
class FeatureDistance(Metric):
    """A distance between the features of synthetic and of real test images of a class.

    ``facts`` has the floors, what a perfect generator would score: the same distance of real training images, as many
    as synthetic ones (``<name>_floor/<class>``) and all (``<name>_floor_all/<class>``), and what has to be known of the
    features. With few images a distance is too great. Where a class has fewer training images than there are synthetic
    ones, its floor is of fewer, and too high: ``<name>_floor_images/<class>`` says of how many. Where the number of
    synthetic images is not known beforehand (``Reference.synthetic_per_class``), it is that of the test images.

    Args:
        classifier: whose features are compared.
        seed: of the choice of real training images.
    """

    classifier: FeatureSource
    seed: Seed = 0

    @staticmethod
    @abstractmethod
    def distance(x: Tensor, y: Tensor) -> float:
        """Between features (M, D) and (N, D), with M, N >= 2."""

    def prepare(self, reference: Reference) -> None:
        """Make the features ready; take those of the real images."""
        splits, name = reference.splits, self.names[0]
        reference.need_train(2)
        need(2, "real test", splits.test)
        fitted = self.classifier.fit(reference)
        self._features = fitted.features
        self._real = [fitted.features(splits.test.of_class(label)) for label in range(len(splits.classes))]
        self._facts = dict(fitted.facts)
        for label, each in enumerate(splits.classes):
            # Shuffled as images, so that the first n are a random n; then their features are taken once.
            train = fitted.features(shuffled(reference.train.of_class(label), self.seed, "floor", label))
            real = self._real[label]
            alike = train[: reference.synthetic_per_class or len(real)]
            self._facts[f"{name}_floor/{each}"] = self.distance(alike, real)
            self._facts[f"{name}_floor_images/{each}"] = len(alike)
            self._facts[f"{name}_floor_all/{each}"] = self.distance(train, real)

    def compute(self, synthetic: ImageSet) -> dict[str, float]:
        """``<name>`` and ``<name>/<class>``."""
        need(2, "synthetic", synthetic)
        return score_classes(
            self.names[0], synthetic, lambda label, images: self.distance(self._features(images), self._real[label])
        )

    def facts(self) -> dict[str, float | str]:
        """The floors per class, and the facts of the features."""
        return dict(self._facts)
