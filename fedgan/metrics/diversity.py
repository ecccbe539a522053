"""Diversity: how unlike one another the synthetic images of a class are. Paired distances do not see a collapse."""

from torch import Tensor

from fedgan.core.arguments import Seed, component
from fedgan.core.images import ImageSet
from fedgan.metrics.base import Metric, Reference, each_class, need, shuffled
from fedgan.metrics.perceptual import DistanceSource, Estimate, estimate_values, mean_distance


@component
class Diversity(Metric):
    """The mean perceptual distance between random pairs of synthetic images of a class, and its standard error.

    No image is in two pairs, so the distances are independent, and the standard error says how far the mean would
    move with other latents; the generator and the network that measures are taken as they are. A generator that
    repeats one image scores 0. The distance is that of ``lpips_classifier``; the diversity of real test images is in
    ``facts``.

    Args:
        classifier: in whose layers images are compared.
        seed: of the pairs.
    """

    classifier: DistanceSource
    seed: Seed = 0

    names = ("diversity", "diversity_se")

    def prepare(self, reference: Reference) -> None:
        """Make the distance ready; measure the real test images."""
        test = reference.splits.test
        reference.need_train(1)
        need(4, "real test", test)
        self._measure = self.classifier.fit(reference)
        real = each_class(test, self._spread)
        self._facts = self._measure.facts | {f"diversity_real/{each}": spread.mean for each, spread in real.items()}

    def compute(self, synthetic: ImageSet) -> dict[str, float]:
        """``diversity``, at least 0, and ``diversity_se``; each also by class."""
        need(4, "synthetic", synthetic)  # two pairs, or there is no standard error
        return estimate_values("diversity", each_class(synthetic, self._spread))

    def facts(self) -> dict[str, float | str]:
        """The diversity of the real test images per class, and the facts of the network."""
        return dict(self._facts)

    def _spread(self, label: int, images: Tensor) -> Estimate:
        half = len(images) // 2
        order = shuffled(images, self.seed, "diversity", label)
        return mean_distance(self._measure, order[:half], order[half : 2 * half])
