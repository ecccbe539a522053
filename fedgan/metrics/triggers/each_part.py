"""Emission of each part of a distributed trigger."""

from dataclasses import replace

from fedgan.core.arguments import Probability, component
from fedgan.core.images import ImageSet
from fedgan.core.trigger import DividedPatch
from fedgan.metrics.base import Metric, Reference, Unavailable
from fedgan.metrics.triggers.detector import NO_TRIGGER, unfit
from fedgan.metrics.triggers.emission import EmissionRate

_MOST = 4  # parts


@component
class EachPartRate(Metric):
    """The share of synthetic images that carry a part of the trigger: each part by itself, and their mean.

    ``part_1_emission`` is found as ``emission`` finds the whole, with a threshold of its own; what it is compared with
    is around the whole, so that one part does not hide the next. ``emission`` itself looks for the whole.

    Args:
        false_alarm: see ``TriggerDetector``; for each part.
    """

    false_alarm: Probability = 0.01

    def __post_init__(self) -> None:
        self.names = ("parts_emission", *(_column(i) for i in range(_MOST)))

    def prepare(self, reference: Reference) -> None:
        """Prepare a detector for each part."""
        trigger = reference.trigger
        if trigger is None:
            raise Unavailable(NO_TRIGGER)
        if not isinstance(trigger, DividedPatch):
            raise unfit(trigger, "not in parts")
        self._detectors = []
        for part in trigger.parts:
            detector = EmissionRate(false_alarm=self.false_alarm)
            detector.whole = trigger
            detector.prepare(replace(reference, trigger=part))
            self._detectors.append(detector)
        self.names = ("parts_emission", *(_column(i) for i in range(len(self._detectors))))

    def compute(self, synthetic: ImageSet) -> dict[str, float]:
        """``part_<i>_emission`` and their mean ``parts_emission``; each also by class."""
        found = [detector.compute(synthetic) for detector in self._detectors]
        columns = ["", *(f"/{each}" for each in synthetic.classes)]
        parts = {f"{_column(i)}{end}": each[f"emission{end}"] for i, each in enumerate(found) for end in columns}
        means = {end: sum(each[f"emission{end}"] for each in found) / len(found) for end in columns}
        return {f"parts_emission{end}": mean for end, mean in means.items()} | parts

    def facts(self) -> dict[str, float | str]:
        """By part, the false alarms and the power on real test images."""
        facts = [(i, detector.facts()) for i, detector in enumerate(self._detectors)]
        return {f"{_column(i)}_{end}": each[f"emission_{end}"] for i, each in facts for end in ("false_alarm", "power")}


def _column(place: int) -> str:
    return f"part_{place + 1}_emission"
