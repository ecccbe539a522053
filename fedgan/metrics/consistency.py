"""Label consistency: do synthetic images show the requested class?"""

from fedgan.core.arguments import component
from fedgan.core.images import ImageSet
from fedgan.metrics.base import Metric, Reference, need, score_classes
from fedgan.metrics.classifier import Classifier


@component
class LabelConsistency(Metric):
    """The share of synthetic images that a classifier trained on real images assigns to the requested class, in [0, 1].

    What it can be at best is the classifier's recall on real test images, in ``facts``; with K classes, 1 / K is
    what a generator scores that is deaf to its label.

    Args:
        classifier: the classifier to train, or to find in the cache.
    """

    classifier: Classifier

    names = ("label_consistency",)

    def prepare(self, reference: Reference) -> None:
        """Make the classifier ready."""
        reference.need_train(1)
        need(1, "real test", reference.splits.test)
        self._fitted = self.classifier.fit(reference)

    def compute(self, synthetic: ImageSet) -> dict[str, float]:
        """``label_consistency`` and ``label_consistency/<class>``."""
        need(1, "synthetic", synthetic)
        predict = self._fitted.model.predict
        return score_classes(
            "label_consistency", synthetic, lambda label, images: float((predict(images) == label).double().mean())
        )

    def facts(self) -> dict[str, float | str]:
        """The classifier's recall per class on the real test images, and the hash of its weights."""
        recalls = {f"classifier_recall/{each}": recall for each, recall in self._fitted.recall.items()}
        return {"classifier_weights": self._fitted.facts["classifier_weights"], **recalls}
