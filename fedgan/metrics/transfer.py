"""Transfer: does the trigger work on a classifier that was trained on the synthetic images? Is that one any good?"""

from torch import Tensor

from fedgan.core.arguments import component
from fedgan.core.images import ImageSet
from fedgan.core.trigger import Trigger
from fedgan.metrics.base import Metric, Reference, Unavailable, canonical, need, score_classes, with_mean
from fedgan.metrics.classifier import Classifier, ConvNet


@component
class Transfer(Metric):
    """What becomes of a classifier that is trained on the synthetic images alone, on real test images.

    ``transfer_attack_rate``: how often its answer changes when the trigger is pasted, per true class.
    ``synthetic_accuracy``: the share that it recognizes, per true class and without the trigger; over all the
    balanced accuracy. ``facts`` has the same of the classifier trained on real images, which knows the trigger as
    nothing but an occlusion. A classifier is trained at each evaluation, which takes the time of one.

    Args:
        classifier: how both are trained.
    """

    classifier: Classifier

    names = ("transfer_attack_rate", "synthetic_accuracy")

    def prepare(self, reference: Reference) -> None:
        """Make the classifier of real images ready, and try it."""
        if reference.trigger is None:
            raise Unavailable("no trigger to paste: attack=none")
        reference.need_train(1)
        need(1, "real test", reference.splits.test)
        self._trigger, self._test = reference.trigger, reference.splits.test
        fitted = self.classifier.fit(reference)
        of_real = self._try(fitted.model, "transfer_attack_rate_real", "real_accuracy")
        self._facts = {"classifier_weights": fitted.facts["classifier_weights"], **of_real}

    def compute(self, synthetic: ImageSet) -> dict[str, float]:
        """``transfer_attack_rate`` and ``synthetic_accuracy``, shares in [0, 1]; each also by true class."""
        need(1, "synthetic", synthetic)
        return self._try(self.classifier.train(canonical(synthetic)), *self.names)

    def facts(self) -> dict[str, float | str]:
        """Both for the classifier trained on real images, and the hash of its weights."""
        return dict(self._facts)

    def _try(self, model: ConvNet, rate: str, accuracy: str) -> dict[str, float]:
        rates = score_classes(rate, self._test, lambda label, images: changed_answers(model, images, self._trigger))
        return rates | with_mean(accuracy, model.recall(self._test))


def changed_answers(model: ConvNet, images: Tensor, trigger: Trigger) -> float:
    """The share of ``images``, uint8 (N, C, H, W), that ``model`` takes for another class with the trigger on them."""
    return float((model.predict(images) != model.predict(trigger.apply(images))).double().mean())
