"""What a metric is: something that scores synthetic images, class by class, against the real ones."""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import torch
from torch import Tensor

from fedgan.core.images import ImageSet, Splits, digests, has_copy
from fedgan.core.latents import LatentBatch
from fedgan.core.rng import keyed_generator
from fedgan.core.trigger import Trigger

T = TypeVar("T")
Draw = Callable[[LatentBatch], Tensor]  # the generator's images of these latents: uint8, (N, C, H, W), on the CPU


@dataclass(frozen=True)
class Reference:
    """What a metric may look at besides the synthetic images.

    Attributes:
        splits: the real images, clean: no client's poisoned view of them.
        trigger: what the attacker pastes; None where nothing is pasted.
        seed: the run's seed.
        device: where heavy arithmetic may run; image sets themselves are in host memory.
        synthetic_per_class: how many synthetic images of each class will be scored; None where that is not known.
        trained: what the clients and the server have trained on, called by ``seen`` alone; None: on ``splits.train``.
    """

    splits: Splits
    trigger: Trigger | None
    seed: int
    device: torch.device
    synthetic_per_class: int | None = None
    trained: Callable[[], Sequence[ImageSet]] | None = None

    @cached_property
    def train(self) -> ImageSet:
        """The real training images that are no copies of a test image.

        Test images may be training images too (``dataset.pool_splits``). What is set on images and then measured on
        the same ones, such as a threshold, a floor or a classifier's accuracy, looks better than it is. So metrics
        take these for the real training images. Only metrics of which images the generator has seen take all that it
        was trained on (``seen``).
        """
        copies = has_copy(self.splits.train, self.splits.test)
        return self.splits.train.subset((~copies).nonzero()[:, 0]) if copies.any() else self.splits.train

    @cached_property
    def seen(self) -> ImageSet:
        """What the generator was trained on: images and labels as their partition and the attacker left them.

        ``splits.train`` itself where these are the same images with the same labels, in any order.

        Raises:
            Unavailable: if it is not known.
        """
        parts, train = list(self.trained() if self.trained is not None else ()), self.splits.train
        if not parts or Counter(key for part in parts for key in _keys(part)) == Counter(_keys(train)):
            return train
        images, labels = torch.cat([part.images for part in parts]), torch.cat([part.labels for part in parts])
        return ImageSet(images, labels, train.classes)

    def need_train(self, least: int) -> None:
        """Give up unless ``train`` has images enough.

        Args:
            least: how many of every class there have to be.

        Raises:
            Unavailable: naming a class with fewer.
        """
        need(least, "real training" if self.train is self.splits.train else "real training (and not test)", self.train)

    def facts(self) -> dict[str, float | str]:
        """By class, how many training images ``train`` leaves out; empty if it leaves out none."""
        left, images = self.train.counts, self.splits.train.counts
        out: dict[str, float | str] = {
            f"training_images_that_are_test_images/{each}": images[each] - left[each] for each in images
        }
        return out if any(out.values()) else {}


class Unavailable(Exception):
    """Raised by ``prepare`` (for the run) or ``compute`` (for these images): no value, and in one line why."""


class Metric(ABC):
    """A score of synthetic images. ``prepare`` comes first, once per run; ``compute`` as often as wanted.

    Attributes:
        names: of the values, each for the whole and for every class; they say more than the
            configuration's (``frechet_classifier`` of ``frechet``).
    """

    names: tuple[str, ...]

    def prepare(self, reference: Reference) -> None:  # noqa: B027 - doing nothing is a fair default
        """Do what is done once per run, such as training a classifier or setting a threshold.

        Raises:
            Unavailable: if this metric cannot be computed for this run.
        """

    @abstractmethod
    def compute(self, synthetic: ImageSet) -> dict[str, float]:
        """The values: for each of ``names``, ``<name>`` for the whole and ``<name>/<class>``.

        For the whole: the mean over classes, unless the metric says otherwise. Values depend on the set of images,
        not on their order, and are finite numbers.

        Args:
            synthetic: generated images; the labels are those given to the generator.

        Raises:
            Unavailable: if there is no such value for these images, e.g. if they are too few.
        """

    def compute_from(self, synthetic: ImageSet, draw: Draw) -> dict[str, float]:
        """As ``compute``, for metrics that need images from latents of their own as well; others leave it as it is.

        Args:
            synthetic: see ``compute``.
            draw: draws more images with the generator that has drawn these.
        """
        return self.compute(synthetic)

    def facts(self) -> dict[str, float | str]:
        """What has to be read next to the values for them to mean anything, e.g. a false alarm rate."""
        return {}

    @property
    def network(self) -> str | None:
        """After ``prepare``: the hash of the pretrained network that it measures with; None without one."""
        return None


def is_whole(column: str) -> bool:
    """Whether a metric's column is its value over all classes: no class's, no end of an interval, no standard error.

    Example:
        >>> [is_whole(name) for name in ("emission", "emission/NORMAL", "emission_low", "lpips_se")]
        [True, False, False, False]
    """
    return "/" not in column and not column.endswith(("_low", "_high", "_se"))


def need(least: int, kind: str, images: ImageSet) -> None:
    """Give up unless there are images enough.

    Args:
        least: how many images of every class there have to be.
        kind: what the message calls them: ``synthetic``, ``real test``.
        images: the images.

    Raises:
        Unavailable: naming a class with fewer.
    """
    for name, count in images.counts.items():
        if count < least:
            raise Unavailable(f"it takes {least} {kind} images of a class; {name} has {count}")


def canonical(images: ImageSet) -> ImageSet:
    """The images in an order that depends on nothing but their pixels and labels.

    Example:
        >>> pixels = torch.tensor([5, 1, 3], dtype=torch.uint8).reshape(3, 1, 1, 1)
        >>> images = ImageSet(pixels, torch.tensor([0, 1, 0]), ("a", "b"))
        >>> turned = images.subset(torch.tensor([2, 0, 1]))
        >>> torch.equal(canonical(images).images, canonical(turned).images)
        True
    """
    keys = _keys(images)
    return images.subset(torch.tensor(sorted(range(len(keys)), key=keys.__getitem__), dtype=torch.int64))


def _keys(images: ImageSet) -> list[tuple[bytes, int]]:
    """Of each image what it is and how it is labeled: the same for equal images with equal labels alone."""
    return list(zip(digests(images.images), images.labels.tolist(), strict=True))


def shuffled(images: Tensor, seed: int, *key: int | str) -> Tensor:
    """The images in the random order named ``key``: its first n are a random n of them."""
    return images[torch.randperm(len(images), generator=keyed_generator(seed, *key))]


def each_class(images: ImageSet, score: Callable[[int, Tensor], T]) -> dict[str, T]:
    """What ``score`` finds for each class, by the classes' names.

    Args:
        images: the images to score, in any order.
        score: from a class's label and its images, uint8 (M, C, H, W), in canonical order.
    """
    ordered = canonical(images)
    return {name: score(label, ordered.of_class(label)) for label, name in enumerate(images.classes)}


def with_mean(name: str, by_class: Mapping[str, float]) -> dict[str, float]:
    """The value of every class as ``<name>/<class>``, and their mean as ``<name>``: what ``Metric.compute`` returns.

    The mean gives each class the same weight, however many images it has.

    Example:
        >>> with_mean("recall", {"a": 0.5, "b": 1.0})
        {'recall': 0.75, 'recall/a': 0.5, 'recall/b': 1.0}
    """
    mean = sum(by_class.values()) / len(by_class)
    return {name: mean, **{f"{name}/{each}": value for each, value in by_class.items()}}


def score_classes(name: str, images: ImageSet, score: Callable[[int, Tensor], float]) -> dict[str, float]:
    """The values of a metric that scores each class by itself: ``each_class``, then ``with_mean``.

    Args:
        name: the metric's name.
        images: the images to score.
        score: from a class's label and its images, uint8 (M, C, H, W) with M >= 1, to its value.

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
    return with_mean(name, each_class(images, score))
