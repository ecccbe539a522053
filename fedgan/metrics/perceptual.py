"""Perceptual distances between pairs of images, averaged."""

import math
from collections.abc import Mapping
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from fedgan.core.arguments import Seed, component
from fedgan.core.images import ImageSet
from fedgan.metrics.base import Metric, Reference, each_class, need, shuffled, with_mean

_BATCH = 64  # pairs compared at once


class ImageDistance(Protocol):
    """Compares images in pairs, and says what has to be known of how (``facts``)."""

    facts: dict[str, float | str]

    def distances(self, x: Tensor, y: Tensor) -> Tensor:
        """uint8 (B, C, H, W) twice to float64 (B,), at least 0, on the CPU."""


class DistanceSource(Protocol):
    """A network before it is trained or loaded: the small classifier of the real images, or AlexNet."""

    def fit(self, reference: Reference) -> ImageDistance:
        """Make it ready for these images."""


class Estimate(NamedTuple):
    """A mean and its standard error."""

    mean: float
    se: float


def mean_distance(measure: ImageDistance, x: Tensor, y: Tensor, shared: Tensor | None = None) -> Estimate:
    """The mean distance between ``x[i]`` and ``y[i]``, and its standard error if all images are random draws.

    With d_i the N distances and d their mean, the variance is ``(s^2 + c) / N``: ``s^2 = sum_i (d_i - d)^2 / (N - 1)``,
    and ``c = sum_(i != k) (d_i - d)(d_k - d) / N`` over the pairs i, k that share an image. This is the two-way
    cluster-robust variance (Cameron, Gelbach and Miller, "Robust inference with multiway clustering", 2011) where every
    ``x[i]`` is in one pair. Two distances to the same image have a covariance of at least 0 (the variance of what this
    image adds to them), so ``c`` below 0 is taken for 0. Without shared images N independent distances are left.

    Args:
        measure: of the distance.
        x: uint8, (N, C, H, W), N >= 2; each image once.
        y: the same shape; an image may come more than once.
        shared: int64, (N,): which image ``y[i]`` is, from 0; None: no image comes twice.
    """
    pairs = zip(torch.split(x, _BATCH), torch.split(y, _BATCH), strict=True)
    distances = torch.cat([measure.distances(a, b) for a, b in pairs])
    independent = float(distances.std()) / math.sqrt(len(distances))
    if shared is None:
        return Estimate(float(distances.mean()), independent)
    deviations = distances - distances.mean()
    sums = torch.zeros(int(shared.max()) + 1, dtype=torch.float64).index_add_(0, shared, deviations)
    common = float(sums.square().sum() - deviations.square().sum())  # over pairs of pairs with the same image
    return Estimate(float(distances.mean()), math.hypot(independent, math.sqrt(max(0.0, common)) / len(distances)))


def estimate_values(name: str, by_class: Mapping[str, Estimate]) -> dict[str, float]:
    """``<name>`` and ``<name>_se``, each for the whole and by class.

    For the whole: the mean over the K classes, and that mean's standard error, ``sqrt(sum of se^2) / K``, as classes
    share no image.

    Example:
        >>> estimate_values("x", {"a": Estimate(1.0, 3.0), "b": Estimate(2.0, 4.0)})
        {'x': 1.5, 'x/a': 1.0, 'x/b': 2.0, 'x_se': 2.5, 'x_se/a': 3.0, 'x_se/b': 4.0}
    """
    errors = {each: estimate.se for each, estimate in by_class.items()}
    se = math.sqrt(sum(error**2 for error in errors.values())) / len(errors)
    means = with_mean(name, {each: estimate.mean for each, estimate in by_class.items()})
    return means | with_mean(f"{name}_se", errors) | {f"{name}_se": se}


@component
class PairedDistance(Metric):
    """The mean distance between a synthetic and a random real test image of the same class, and its standard error.

    Every synthetic image is in one pair; real images are in equally many, up to one. The lower the nearer, but lower
    than real images among themselves (``<name>_real/<class>`` in ``facts``: real training in place of synthetic
    images) means lack of variety rather than quality; see ``diversity``.

    The standard error takes the synthetic and the real images for random draws, and so says how far the mean would
    move with other latents and with other test images (see ``mean_distance``). The generator and the network that
    measures are taken as they are: how much training varies from seed to seed is not in it. Two runs on the same
    data share the real images, so their difference varies less than their standard errors say.

    Args:
        classifier: in whose layers images are compared.
        seed: of the pairs.
    """

    classifier: DistanceSource
    seed: Seed = 0

    names = ("lpips_classifier", "lpips_classifier_se")

    def prepare(self, reference: Reference) -> None:
        """Make the distance ready; draw the order of the real images; compare these among themselves."""
        train, test = reference.train, reference.splits.test
        reference.need_train(2)
        need(2, "real test", test)
        self._measure = self.classifier.fit(reference)
        self._real = [shuffled(test.of_class(k), self.seed, "pairs", k) for k in range(len(test.classes))]
        self._facts = dict(self._measure.facts)
        for label, each in enumerate(test.classes):
            images = shuffled(train.of_class(label), self.seed, "pairs", "train", label)[: len(self._real[label])]
            self._facts[f"{self.names[0]}_real/{each}"] = self._compare(label, images).mean

    def compute(self, synthetic: ImageSet) -> dict[str, float]:
        """``<name>``, at least 0, and ``<name>_se``; each also by class."""
        need(2, "synthetic", synthetic)
        return estimate_values(self.names[0], each_class(synthetic, self._compare))

    def facts(self) -> dict[str, float | str]:
        """The distance of real training images per class, and the facts of the network."""
        return dict(self._facts)

    def _compare(self, label: int, images: Tensor) -> Estimate:
        real = self._real[label]
        chosen = torch.arange(len(images)) % len(real)
        return mean_distance(self._measure, images, real[chosen], chosen)
