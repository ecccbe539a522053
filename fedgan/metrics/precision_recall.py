"""Improved precision and recall: are synthetic images like real ones, and are all kinds of real ones among them?"""

from collections.abc import Mapping

import torch
from torch import Tensor

from fedgan.core.arguments import Seed, component
from fedgan.core.images import ImageSet
from fedgan.metrics.base import Metric, Reference, each_class, need, shuffled, with_mean
from fedgan.metrics.features import FeatureSource
from fedgan.metrics.neighbors import distance_blocks

K = 3  # neighbors, as in the paper


def radii(points: Tensor, k: int = K) -> Tensor:
    """The distance from each point to its k-th nearest other: (N, D) with N > k to (N,).

    Example:
        >>> radii(torch.tensor([[0.0], [1.0], [3.0]]), k=1).tolist()
        [1.0, 1.0, 2.0]
    """
    # The nearest of all is the point itself.
    return torch.cat([block.kthvalue(k + 1, dim=1).values for block in distance_blocks(points, points)])


def share_within(points: Tensor, manifold: Tensor, k: int = K) -> float:
    """The share of ``points`` (M, D) in a ball round a point of ``manifold`` (N, D) that reaches its k-th neighbor.

    Kynkäänniemi et al. 2019, Equations 1 and 2: precision is that of synthetic points in the real manifold, recall
    that of real points in the synthetic one.

    Example:
        >>> share_within(torch.tensor([[0.5], [9.0]]), torch.tensor([[0.0], [1.0], [3.0]]), k=1)
        0.5
    """
    reach = radii(manifold, k)
    inside = [(block <= reach).any(dim=1) for block in distance_blocks(points, manifold)]
    return float(torch.cat(inside).double().mean())


@component
class PrecisionRecall(Metric):
    """Improved precision and recall (Kynkäänniemi et al. 2019, k = 3) in a classifier's features, per class, in [0, 1].

    Both depend on the number of images, so as many real test as synthetic ones are compared: the lesser number, drawn
    at random. ``facts`` has both for as many real training images in place of synthetic ones.

    Args:
        classifier: in whose features images are compared.
        seed: of the draw.
    """

    classifier: FeatureSource
    seed: Seed = 0

    names = ("precision", "recall")

    def prepare(self, reference: Reference) -> None:
        """Make the features ready; measure real training images."""
        splits = reference.splits
        reference.need_train(K + 1)
        need(K + 1, "real test", splits.test)
        fitted = self.classifier.fit(reference)
        self._features = fitted.features
        self._real = [
            fitted.features(shuffled(splits.test.of_class(label), self.seed, "real", label))
            for label in range(len(splits.classes))
        ]
        self._facts = {**fitted.facts, **_values(each_class(reference.train, self._compare), suffix="_real")}

    def compute(self, synthetic: ImageSet) -> dict[str, float]:
        """``precision`` and ``recall``, each also by class."""
        need(K + 1, "synthetic", synthetic)
        return _values(each_class(synthetic, self._compare))

    def facts(self) -> dict[str, float | str]:
        """``precision_real`` and ``recall_real``, of real training images; the facts of the features."""
        return dict(self._facts)

    def _compare(self, label: int, images: Tensor) -> tuple[float, float]:
        count = min(len(images), len(self._real[label]))
        real = self._real[label][:count]
        points = self._features(shuffled(images, self.seed, "points", label)[:count])
        return share_within(points, real), share_within(real, points)


def _values(by_class: Mapping[str, tuple[float, float]], suffix: str = "") -> dict[str, float]:
    precision = with_mean(f"precision{suffix}", {each: pair[0] for each, pair in by_class.items()})
    return precision | with_mean(f"recall{suffix}", {each: pair[1] for each, pair in by_class.items()})
