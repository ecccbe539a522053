"""Scoring synthetic images by any set of metrics; what cannot be computed is absent and says why."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from rich.console import Console
from torch import Tensor

from fedgan.core.images import ImageSet
from fedgan.core.latents import LatentBatch
from fedgan.metrics.base import Draw, Metric, Reference, Unavailable
from fedgan.metrics.pretrained.weights import one_try_each


def cannot_draw(request: LatentBatch) -> Tensor:
    """Where images alone are given.

    Raises:
        Unavailable: always.
    """
    raise Unavailable("it draws images of its own, which takes the generator")


class Scorer:
    """Metrics by name, prepared once and then computed as often as wanted.

    Args:
        metrics: by name.
        classes: of the images.
        watch: what the names are run through while the metrics work, with a word on what is done: a progress bar.

    Attributes:
        absent: by metric, why it has no value: never 0 or NaN in their place.
    """

    def __init__(
        self,
        metrics: Mapping[str, Metric],
        classes: Sequence[str],
        watch: Callable[[Sequence[str], str], Iterable[str]] = lambda names, doing: names,
    ) -> None:
        self.metrics, self.classes, self._watch = dict(metrics), tuple(classes), watch
        self.absent: dict[str, str] = {}
        self._real: dict[str, dict[str, Any]] = {}

    def prepare(self, reference: Reference) -> None:
        """Make the metrics ready; those that cannot be computed for these data are left out for good."""
        if self.metrics and (left_out := reference.facts()):
            self._real = {"real_images": left_out}
        with one_try_each():
            for name in self._watch(list(self.metrics), "preparing"):
                try:
                    self.metrics[name].prepare(reference)
                except Unavailable as reason:
                    del self.metrics[name]
                    self._leave_out(name, str(reason))

    @property
    def columns(self) -> list[str]:
        """All column names, in order: each metric's mean, then one per class."""
        names = [name for metric in self.metrics.values() for name in metric.names]
        return [column for name in names for column in (name, *(f"{name}/{each}" for each in self.classes))]

    def facts(self) -> dict[str, dict[str, Any]]:
        """What has to be read next to the metrics: by metric, thresholds, false-alarm rates, accuracies.

        Also, under ``real_images``, which training images were not used because they are test images; if there are any.
        """
        return self._real | {name: dict(metric.facts()) for name, metric in self.metrics.items()}

    def networks(self) -> dict[str, str]:
        """By metric, the hash of the pretrained network that it measures with; none of metrics without one."""
        return {name: network for name, metric in self.metrics.items() if (network := metric.network) is not None}

    def score(self, synthetic: ImageSet, draw: Draw = cannot_draw) -> dict[str, float]:
        """The values of every metric that can be computed for these images.

        Args:
            synthetic: generated images.
            draw: of the generator that has drawn them, for metrics that need more; without it they are absent.
        """
        values: dict[str, float] = {}
        for name in self._watch(list(self.metrics), "scoring"):
            try:
                values |= finite(self._named(name, self.metrics[name].compute_from(synthetic, draw)))
            except Unavailable as reason:
                self._leave_out(name, str(reason))
            else:
                self.absent.pop(name, None)
        return values

    def _named(self, name: str, values: Mapping[str, float]) -> Mapping[str, float]:
        """A metric's values, if they have the names that it declares."""
        unknown = sorted({key for key in values if key.partition("/")[0] not in self.metrics[name].names})
        if unknown:
            declared = f"the names that it declares, {', '.join(self.metrics[name].names)}"
            raise ValueError(f"metrics.{name}: compute must return {declared}; got {unknown}")
        return values

    def _leave_out(self, name: str, reason: str) -> None:
        if self.absent.get(name) != reason:  # said once, not at every evaluation
            console = Console(stderr=True)
            console.print(f"metric {name} is left out: {reason}", markup=False, highlight=False, soft_wrap=True)
        self.absent[name] = reason


def finite(values: Mapping[str, float]) -> dict[str, float]:
    """The values, if each is a number.

    Raises:
        Unavailable: naming those that are not.

    Example:
        >>> finite({"lpips": float("nan")})
        Traceback (most recent call last):
        ...
        fedgan.metrics.base.Unavailable: it came out as lpips = nan
    """
    wrong = [f"{name} = {value}" for name, value in values.items() if not math.isfinite(value)]
    if wrong:
        raise Unavailable(f"it came out as {', '.join(wrong)}")
    return dict(values)
