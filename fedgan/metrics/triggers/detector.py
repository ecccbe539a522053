"""What detectors of a trigger have in common: a threshold from clean real images, and a rate with its interval."""

from abc import abstractmethod
from math import fsum
from typing import ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest
from torch import Tensor

from fedgan.core.arguments import Probability, component
from fedgan.core.images import ImageSet
from fedgan.core.trigger import Patch, Trigger
from fedgan.metrics.base import Metric, Reference, Unavailable, each_class, need, score_classes, shuffled, with_mean

Array = NDArray[np.float64]
NO_TRIGGER = "no trigger to look for: attack=none, or one that changes labels alone (metrics=[consistency])"


class Rate(NamedTuple):
    """A share and its 95 % confidence interval, all in [0, 1]."""

    share: float
    low: float
    high: float


def rate(found: NDArray[np.bool_]) -> Rate:
    """The share of True, (N,) with N >= 1, with Wilson's interval.

    Example:
        >>> [round(x, 3) for x in rate(np.arange(10) < 5)]
        [0.5, 0.237, 0.763]
    """
    test = binomtest(int(found.sum()), len(found))
    low, high = test.proportion_ci(confidence_level=0.95, method="wilson")
    return Rate(float(test.statistic), float(low), float(high))


def unfit(trigger: Trigger, lacks: str) -> Unavailable:
    """That a detector cannot look for this trigger, and which can.

    Args:
        trigger: the attacker's.
        lacks: what it is not, such as ``no patch at one place``.
    """
    other = f": choose metrics=[{trigger.metric}]" if trigger.metric else ""
    return Unavailable(f"the trigger is {lacks}{other}")


def patch_of(trigger: Trigger) -> Patch:
    """The trigger as a patch at a fixed place.

    Raises:
        Unavailable: if it is no such thing, with the metric that looks for it.
    """
    if not isinstance(trigger, Patch):
        raise unfit(trigger, "no patch at one place")
    return trigger


@component
class TriggerDetector(Metric):
    """The share of synthetic images that carry the trigger, in [0, 1], and how clearly they bear it.

    With its 95 % confidence interval (Wilson 1927): by class from that class's images, for the whole from all of them.
    An image counts if its score exceeds a threshold: the (1 - ``false_alarm``) quantile over the clean real training
    images. The rates found on the real test images, clean (false alarms) and with the trigger pasted (power), and the
    mean score of the clean ones, are in ``facts``.

    The share and the mean score for the whole weight classes equally. The threshold, false alarms, power and intervals
    are of images, whatever their class: where test images are not equally many, compare a class's share with that
    class's false alarms (``<share>_false_alarm/<class>``), for the threshold is one for all.

    The threshold is a little low: fresh clean images exceed it more often than stated, by about 1 / N with N training
    images. On real chest X-rays and skin lesions it was 2.0 % for a stated 1 % with 100 training images, 1.3 % with 400
    and 1.1 % with 1,000. This is the usual quantile's doing (definition 7 of Hyndman and Fan 1996), not that of the
    images which make both the threshold and what ``learn`` takes from them: five-fold cross-fitting gave the same to
    0.01 percentage points. The rate measured on the test images is the one to go by.

    Args:
        false_alarm: the share of clean training images that may be taken for poisoned ones, in [0, 1).

    Attributes:
        share: what the share is called.
        mean_score: what the mean score is called.
        least: below it no threshold is.
        held_out: whether the threshold comes from other training images than those that ``learn`` sees, half of them
            each: for detectors that are fitted to the images which they learn from.

    Raises:
        ValueError: if ``false_alarm`` is out of range.
    """

    false_alarm: Probability = 0.01

    share: ClassVar[str]
    mean_score: ClassVar[str]
    least = -np.inf
    held_out: ClassVar[bool] = False

    def __post_init__(self) -> None:
        self.names = (self.share, f"{self.share}_low", f"{self.share}_high", self.mean_score)

    @abstractmethod
    def learn(self, trigger: Trigger, clean: Tensor) -> None:
        """Take in what is looked for, and what images without it look like.

        Args:
            trigger: the attacker's.
            clean: the real training images, uint8, (N, C, H, W).

        Raises:
            Unavailable: if this detector cannot look for that trigger.
        """

    @abstractmethod
    def scores(self, images: Tensor) -> Array:
        """How clearly each image carries the trigger: (N,) from uint8, (N, C, H, W)."""

    def prepare(self, reference: Reference) -> None:
        """Set the threshold on the real training images; measure it, and the mean score, on the real test images."""
        trigger = reference.trigger
        if trigger is None:
            raise Unavailable(NO_TRIGGER)
        reference.need_train(1 + self.held_out)
        need(1, "real test", reference.splits.test)
        train, test = reference.train.images, reference.splits.test
        learned, judged = self._divided(train, reference.seed)
        self.learn(trigger, learned)
        self._threshold = max(self.least, float(np.quantile(self.scores(judged), 1 - self.false_alarm)))
        carries = self._carries(test.images)
        false_alarms = rate(carries)
        self._facts = {
            f"{self.share}_threshold": self._threshold,
            f"{self.share}_false_alarm": false_alarms.share,
            f"{self.share}_false_alarm_low": false_alarms.low,
            f"{self.share}_false_alarm_high": false_alarms.high,
            f"{self.share}_power": rate(self._carries(trigger.apply(test.images))).share,
            **self._means(f"{self.mean_score}_real", test),
            **{
                f"{self.share}_false_alarm/{name}": rate(carries[test.labels.cpu().numpy() == label]).share
                for label, name in enumerate(test.classes)
            },
        }

    def compute(self, synthetic: ImageSet) -> dict[str, float]:
        """The share with the ends of its interval, and the mean score; each also by class."""
        need(1, "synthetic", synthetic)
        carries = each_class(synthetic, lambda label, images: self._carries(images))
        rates = {each: rate(found) for each, found in carries.items()}
        whole = rate(np.concatenate(list(carries.values())))
        low, high = f"{self.share}_low", f"{self.share}_high"
        return (
            with_mean(self.share, {each: part.share for each, part in rates.items()})
            | with_mean(low, {each: part.low for each, part in rates.items()})
            | with_mean(high, {each: part.high for each, part in rates.items()})
            | {low: whole.low, high: whole.high}
            | self._means(self.mean_score, synthetic)
        )

    def facts(self) -> dict[str, float | str]:
        """The threshold; on real test images false alarms with interval and by class, power, the mean score."""
        return dict(self._facts)

    def _divided(self, images: Tensor, seed: int) -> tuple[Tensor, Tensor]:
        """The images to learn from, and those that make the threshold."""
        if not self.held_out:
            return images, images
        mixed = shuffled(images, seed, "detector", self.share)
        return mixed[: len(mixed) // 2], mixed[len(mixed) // 2 :]

    def _carries(self, images: Tensor) -> NDArray[np.bool_]:
        carries: NDArray[np.bool_] = self.scores(images) > self._threshold
        return carries

    def _means(self, name: str, images: ImageSet) -> dict[str, float]:
        # fsum is exact, so the images' order does not matter
        return score_classes(name, images, lambda label, each: fsum(self.scores(each)) / len(each))
