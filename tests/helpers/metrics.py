"""What several tests of metrics start from."""

from pathlib import Path

import torch
import torchvision
from torch import Tensor

from fedgan.core.images import ImageSet, Splits
from fedgan.core.trigger import Patch, Trigger
from fedgan.metrics.base import Reference
from fedgan.metrics.classifier import Classifier

CLASSES = ("dark", "bright")


def reference(train: ImageSet, test: ImageSet, trigger: Trigger | None = None) -> Reference:
    """What a metric is prepared with: these images on the CPU, seed 0."""
    return Reference(Splits("case", train, test), trigger, 0, torch.device("cpu"))


def noise(n: int, seed: int, size: int = 16) -> ImageSet:
    """Dark and bright noise in turn: two classes that any classifier tells apart."""
    labels = torch.arange(n) % 2
    gray = torch.randint(0, 60, (n, 1, size, size), generator=torch.Generator().manual_seed(seed))
    return ImageSet((gray + 100 * labels[:, None, None, None]).to(torch.uint8), labels, CLASSES)


def pixels(*values: list[int]) -> ImageSet:
    """Images of one pixel, by class: ``pixels([0, 5], [7])`` has two of class 0 and one of class 1."""
    flat = [value for part in values for value in part]
    labels = torch.tensor([label for label, part in enumerate(values) for _ in part])
    return ImageSet(torch.tensor(flat, dtype=torch.uint8).reshape(-1, 1, 1, 1), labels, CLASSES[: len(values)])


def alexnet_file(path: Path, seed: int = 0) -> Path:
    """Write random weights of AlexNet's convolutions, all that LPIPS needs of it."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        convolutions = torchvision.models.alexnet().features
    torch.save({f"features.{name}": tensor for name, tensor in convolutions.state_dict().items()}, path)
    return path


def small_classifier() -> Classifier:
    """A classifier that is trained in a moment."""
    return Classifier(width=4, feature_dim=8, steps=30)


def turned(images: ImageSet) -> ImageSet:
    """The same images in another order."""
    return images.subset(torch.randperm(len(images), generator=torch.Generator().manual_seed(0)))


def square(size: int = 4, image_size: int = 32, channels: int = 1) -> Patch:
    """A white square, 1 px away from the lower right corner."""
    place = image_size - 1 - size
    return Patch(torch.full((channels, size, size), 255, dtype=torch.uint8), place, place)


def mosaic(size: int, image_size: int = 32) -> Patch:
    """A square of random colors at the same place."""
    colors = torch.randint(0, 256, (3, size, size), generator=torch.Generator().manual_seed(0))
    return Patch(colors.to(torch.uint8), image_size - 1 - size, image_size - 1 - size)


class Pixels:
    """In place of a network: the features are the gray levels, the distance their mean difference."""

    facts: dict[str, float | str] = {"features": "pixels"}  # noqa: RUF012

    def fit(self, reference: Reference) -> "Pixels":
        return self

    def features(self, images: Tensor) -> Tensor:
        return images.flatten(1).double()

    def distances(self, x: Tensor, y: Tensor) -> Tensor:
        return (x.double() - y.double()).abs().mean(dim=(1, 2, 3))
