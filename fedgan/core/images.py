"""Decoded images: uint8 in memory, [-1, 1] on the device; and their splits."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from fedgan.core.checks import check_at_most
from fedgan.core.words import counted_reason


@dataclass(frozen=True)
class ImageSet:
    """Labeled images, decoded once and kept as bytes.

    Attributes:
        images: uint8, (N, C, H, W); C is 1 (gray) or 3 (RGB).
        labels: int64, (N,), each in [0, len(classes)).
        classes: the classes' names, in the order of their labels.
        groups: of each image the number of its group (a patient, a lesion), int64, (N,), in the order of their names;
            images without one have a number each. None where the data set knows none.
        hospitals: likewise of where it was taken (a hospital).
    """

    images: Tensor
    labels: Tensor
    classes: tuple[str, ...]
    groups: Tensor | None = None
    hospitals: Tensor | None = None

    def __post_init__(self) -> None:
        assert self.images.dtype == torch.uint8, self.images.dtype
        assert self.images.ndim == 4, self.images.shape
        for own in (self.labels, self.groups, self.hospitals):
            assert own is None or own.shape == self.images.shape[:1], (own.shape, self.images.shape)

    def __len__(self) -> int:
        return len(self.labels)

    def subset(self, indices: Tensor) -> "ImageSet":
        """The images at ``indices`` (int64, (M,)), in that order."""
        return self.map(lambda tensor: tensor.index_select(0, indices))

    def to(self, device: torch.device) -> "ImageSet":
        """The same on ``device``, still as bytes."""
        return self.map(lambda tensor: tensor.to(device))

    def map(self, change: Callable[[Tensor], Tensor]) -> "ImageSet":
        """The same with every tensor changed, such as by ``lambda tensor: tensor[:8]``."""
        others = (None if own is None else change(own) for own in (self.groups, self.hospitals))
        return ImageSet(change(self.images), change(self.labels), self.classes, *others)

    def of_class(self, label: int) -> Tensor:
        """The images of one class: uint8, (M, C, H, W)."""
        return self.images[self.labels == label]

    def first_of_each_class(self, count: int) -> "ImageSet":
        """The first ``count`` images of every class, or as many as there are, class by class."""
        places = [(self.labels == label).nonzero().flatten()[:count] for label in range(len(self.classes))]
        return self.subset(torch.cat(places))

    @property
    def counts(self) -> dict[str, int]:
        """How many images each class has."""
        return {name: int((self.labels == label).sum()) for label, name in enumerate(self.classes)}

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over shape, pixels, labels and class names; used by records, loggers and caches."""
        digest = hashlib.sha256(repr((tuple(self.images.shape), self.classes)).encode())
        digest.update(self.images.cpu().contiguous().numpy().data)
        digest.update(self.labels.cpu().contiguous().numpy().data)
        return digest.hexdigest()


@dataclass(frozen=True)
class Splits:
    """A data set with its train and test images (same classes, size and channels), and what was read to get them.

    Attributes:
        name: what reports call it.
        train: the images that clients share out.
        test: real images that nothing is trained on (but see ``pooled``).
        pooled: whether the test images are also training images, as in the paper.
        left_out: how many files, images or rows of a labels file were not used, by the reason.
        notes: what a user should know about these images before trusting a result; a sentence each.
    """

    name: str
    train: ImageSet
    test: ImageSet
    pooled: bool = False
    left_out: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes' names."""
        return self.train.classes

    @property
    def channels(self) -> int:
        """1 for gray, 3 for RGB."""
        return self.train.images.shape[1]

    @property
    def image_size(self) -> int:
        """Height and width in pixels."""
        return self.train.images.shape[-1]

    @property
    def shape(self) -> dict[str, int]:
        """What a model has to know of the data."""
        return {"num_classes": len(self.classes), "channels": self.channels, "image_size": self.image_size}

    def describe(self) -> dict[str, Any]:
        """As plain values, for run.json and loggers: name, sizes, fingerprints of both splits, what was not read."""
        return {
            "name": self.name,
            **self.shape,
            "train": {"counts": self.train.counts, "sha256": self.train.fingerprint},
            "test": {"counts": self.test.counts, "sha256": self.test.fingerprint},
            "pooled": self.pooled,
            "left_out": dict(self.left_out),
            "notes": list(self.notes),
        }

    def __str__(self) -> str:
        """What was read, in one line.

        Example:
            >>> black = ImageSet(torch.zeros(3, 1, 8, 8, dtype=torch.uint8), torch.tensor([0, 1, 1]), ("a", "b"))
            >>> print(Splits("xrays", black, black.subset(torch.tensor([0, 1])), left_out={"with suffix .txt": 2}))
            xrays: a 1 + 1, b 2 + 1 (training + test images), 8 x 8, gray; 2 left out: 2 with suffix .txt
        """
        test = self.test.counts
        counts = ", ".join(f"{name} {count:,} + {test[name]:,}" for name, count in self.train.counts.items())
        size, color = f"{self.image_size} x {self.image_size}", "gray" if self.channels == 1 else "RGB"
        pooled = "; the test images are also training images" if self.pooled else ""
        reasons = ", ".join(counted_reason(count, reason) for reason, count in self.left_out.items())
        left_out = f"; {sum(self.left_out.values()):,} left out: {reasons}" if reasons else ""
        return f"{self.name}: {counts} (training + test images), {size}, {color}{pooled}{left_out}"


def no_images(classes: tuple[str, ...], channels: int, image_size: int) -> ImageSet:
    """A set without images that knows what images would be like: all that a model has to know of the data.

    Example:
        >>> elsewhere = no_images(("normal", "pneumonia"), channels=1, image_size=32)
        >>> len(elsewhere), Splits("elsewhere", elsewhere, elsewhere).shape
        (0, {'num_classes': 2, 'channels': 1, 'image_size': 32})
    """
    images = torch.empty(0, channels, image_size, image_size, dtype=torch.uint8)
    return ImageSet(images, torch.empty(0, dtype=torch.int64), classes)


def to_float(images: Tensor) -> Tensor:
    """uint8 in [0, 255] to float32 in [-1, 1], on the images' device.

    Example:
        >>> to_float(torch.tensor([0, 255], dtype=torch.uint8))
        tensor([-1.,  1.])
    """
    return images.to(torch.float32).div_(127.5).sub_(1.0)


def to_uint8(images: Tensor) -> Tensor:
    """float in [-1, 1] (values beyond are clamped) to uint8 in [0, 255]; the inverse of ``to_float``.

    Example:
        >>> to_uint8(torch.tensor([-1.0, 0.0, 1.0, 3.0]))
        tensor([  0, 128, 255, 255], dtype=torch.uint8)
    """
    return images.detach().float().add(1.0).mul_(127.5).round_().clamp_(0, 255).to(torch.uint8)


def digests(images: Tensor) -> list[bytes]:
    """A hash of each image's pixels: the same for equal images alone.

    Args:
        images: uint8, (N, C, H, W).
    """
    return [hashlib.blake2b(image, digest_size=16).digest() for image in images.cpu().contiguous().numpy()]


def has_copy(images: ImageSet, others: ImageSet) -> Tensor:
    """Which of ``images`` is, to the last pixel, one of ``others``: bool, (N,)."""
    known = set(digests(others.images))
    return torch.tensor([digest in known for digest in digests(images.images)], dtype=torch.bool)


def check_images(setting: str, per_class: int, counts: Mapping[str, int], which: str) -> None:
    """Refuse more images of each class than the smallest class has.

    Args:
        setting: what the error calls ``per_class``,
        per_class: which is how many images of each class are asked for.
        counts: how many there are of each class.
        which: they are, for the error, such as ``test images of class {name}``.

    Raises:
        ValueError: in one line.

    Example:
        >>> check_images("test_per_class", 9, {"a": 9, "b": 8}, "test images of class {name}")
        Traceback (most recent call last):
        ...
        ValueError: test_per_class must be at most 8, the test images of class b; got 9
    """
    name, count = min(counts.items(), key=lambda item: item[1])
    check_at_most(setting, per_class, count, f", the {which.format(name=name)}")
