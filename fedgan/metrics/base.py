"""What a metric is: something that scores synthetic images, class by class, against the real ones."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from fedgan.data import ImageSet, Splits
from fedgan.trigger import Trigger


@dataclass(frozen=True)
class Reference:
    """What a metric may look at besides the synthetic images.

    Attributes:
        splits: the real images, clean: no client's poisoned view of them.
        trigger: what the attacker pastes; None where nothing is pasted.
        seed: the run's seed.
        device: where heavy arithmetic may run; image sets themselves are in host memory.
    """

    splits: Splits
    trigger: Trigger | None
    seed: int
    device: torch.device


class Unavailable(Exception):
    """Raised by ``Metric.prepare`` where there is nothing to compute; its message says why in one line."""


class Metric(ABC):
    """A score of synthetic images. ``prepare`` comes first, once a run; ``compute`` as often as wanted.

    Attributes:
        names: the figures' names, each given for the whole and for every class; they say more than the
            configuration's (``frechet_classifier`` of ``frechet``).
    """

    names: tuple[str, ...]

    def prepare(self, reference: Reference) -> None:  # noqa: B027 - doing nothing is a fair default
        """Do what is done once a run, such as training a classifier or setting a threshold.

        Raises:
            Unavailable: if this metric cannot be computed for this run.
        """

    @abstractmethod
    def compute(self, synthetic: ImageSet) -> dict[str, float]:
        """The figures: for each of ``names``, ``<name>`` (the mean over classes) and ``<name>/<class>``.

        They depend on the set of images, not on their order.

        Args:
            synthetic: generated images; the labels are those that the generator was asked for.
        """

    def facts(self) -> dict[str, float | str]:
        """What has to stand beside the figures for them to mean anything, e.g. a false alarm rate."""
        return {}


def score_classes(name: str, images: ImageSet, score: Callable[[int, Tensor], float]) -> dict[str, float]:
    """The figures of a metric that scores each class by itself, under the names ``Metric.compute`` asks for.

    The mean gives each class the same weight, however many images it has.

    Args:
        name: the metric's name.
        images: the images to score.
        score: from a class's label and its images, uint8 (M, C, H, W) with M >= 1, to its figure.

    Raises:
        ValueError: if a class has no image.

    Example:
        >>> pixels = torch.tensor([0, 2, 7], dtype=torch.uint8).reshape(3, 1, 1, 1)
        >>> images = ImageSet(pixels, torch.tensor([0, 0, 1]), ("a", "b"))
        >>> score_classes("mean", images, lambda label, x: x.float().mean().item())
        {'mean': 4.0, 'mean/a': 1.0, 'mean/b': 7.0}
    """
    if missing := [each for each, count in images.counts.items() if count == 0]:
        raise ValueError(f"{name} needs at least one image of every class; got none of {', '.join(missing)}")
    figures = {f"{name}/{each}": score(label, images.of_class(label)) for label, each in enumerate(images.classes)}
    return {name: sum(figures.values()) / len(figures), **figures}
