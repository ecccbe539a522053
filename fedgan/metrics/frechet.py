"""Frechet distance in a classifier's features: how far synthetic images are from real ones as a population."""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fedgan.data import ImageSet
from fedgan.metrics.base import Metric, Reference, Unavailable, score_classes
from fedgan.metrics.classifier import Classifier
from fedgan.rng import keyed_generator

Array = NDArray[np.float64]


class Gaussian(NamedTuple):
    """A mean (D,) and a covariance (D, D)."""

    mean: Array
    covariance: Array


def fit_gaussian(features: Array) -> Gaussian:
    """The mean and the unbiased covariance of the rows of ``features``, (N, D) with N >= 2.

    Raises:
        ValueError: with fewer than two rows.
    """
    if len(features) < 2:
        raise ValueError(f"a covariance needs at least two images of a class; got {len(features)}")
    return Gaussian(features.mean(axis=0), np.atleast_2d(np.cov(features, rowvar=False)))


def frechet_distance(p: Gaussian, q: Gaussian) -> float:
    """``|m_p - m_q|^2 + tr(S_p + S_q - 2 (S_p S_q)^(1/2))``, at least 0 (Heusel et al. 2017, Equation 6).

    The root's trace is that of ``(S_p^(1/2) S_q S_p^(1/2))^(1/2)``, a symmetric matrix: its eigenvalues are
    found stably also where there are fewer samples than features and the covariances are singular.

    Example:
        >>> p = Gaussian(np.zeros(2), np.diag([1.0, 4.0]))
        >>> q = Gaussian(np.array([3.0, 0.0]), np.diag([9.0, 4.0]))
        >>> round(frechet_distance(p, q), 12)  # 3^2 + (1 - 3)^2 + (2 - 2)^2
        13.0
    """
    root = _symmetric_root(p.covariance)
    eigenvalues = np.linalg.eigvalsh(root @ q.covariance @ root)
    overlap = np.sqrt(eigenvalues.clip(min=0)).sum()  # rounding leaves tiny negative eigenvalues
    shift = np.square(p.mean - q.mean).sum()
    return max(0.0, float(shift + np.trace(p.covariance) + np.trace(q.covariance) - 2 * overlap))


def _symmetric_root(matrix: Array) -> Array:
    eigenvalues, vectors = np.linalg.eigh(matrix)
    root: Array = (vectors * np.sqrt(eigenvalues.clip(min=0))) @ vectors.T
    return root


class FrechetClassifierDistance(Metric):
    """The Frechet distance between synthetic and real test images of a class, in a classifier's features.

    Not the FID: the features are those of all layers of a small classifier trained on this data set's real
    training images, each in units of its standard deviation over the real test images, so figures compare only
    between runs with the same data and classifier settings. The estimate is biased upwards with few images;
    ``facts`` has the floor, the same distance of as many real training images (``frechet_floor/<class>``: at most
    as many as test images of the class) and of all (``frechet_floor_all/<class>``), and the classifier's balanced
    accuracy on test images.

    Args:
        classifier: the classifier to train, or to find in the cache.
    """

    names = ("frechet_classifier",)

    def __init__(self, *, classifier: Classifier) -> None:
        self.classifier = classifier

    def prepare(self, reference: Reference) -> None:
        """Train the classifier and fit a Gaussian to each class of the real test images."""
        splits = reference.splits
        small = [name for part in (splits.train, splits.test) for name, n in part.counts.items() if n < 2]
        if small:
            raise Unavailable(f"fewer than two real images of class {small[0]} in a split")
        self._fitted = self.classifier.fit(splits, reference.device)
        # Layers differ in scale by far; in units of the real images' spread each feature counts alike.
        self._scale = self._fitted.features(splits.test.images).double().std(dim=0).clamp(min=1e-6)
        self._real = [self._gaussian(splits.test.of_class(label)) for label in range(len(splits.classes))]
        self._facts: dict[str, float | str] = {"classifier_balanced_accuracy": self._fitted.balanced_accuracy}
        for label, name in enumerate(splits.classes):
            self._facts |= self._floors(name, label, splits.train, len(splits.test.of_class(label)))

    def compute(self, synthetic: ImageSet) -> dict[str, float]:
        """``frechet_classifier`` and ``frechet_classifier/<class>``, each at least 0.

        Raises:
            ValueError: with fewer than two images of a class.
        """
        return score_classes(self.names[0], synthetic, self._distance)

    def facts(self) -> dict[str, float | str]:
        """What a perfect generator would score, per class, and the classifier's balanced accuracy."""
        return dict(self._facts)

    def _floors(self, name: str, label: int, train: ImageSet, num_images: int) -> dict[str, float]:
        images = train.of_class(label)
        order = torch.randperm(len(images), generator=keyed_generator(self.classifier.seed, "frechet floor", label))
        return {
            f"frechet_floor/{name}": self._distance(label, images[order[:num_images]]),
            f"frechet_floor_all/{name}": self._distance(label, images),
        }

    def _distance(self, label: int, images: Tensor) -> float:
        return frechet_distance(self._gaussian(images), self._real[label])

    def _gaussian(self, images: Tensor) -> Gaussian:
        return fit_gaussian((self._fitted.features(images).double() / self._scale).numpy())
