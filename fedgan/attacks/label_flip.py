"""Wrong labels on unchanged images (Biggio et al. 2012; in federated learning Tolpegin et al. 2020)."""

from collections.abc import Sequence
from typing import Annotated

import torch
from annotated_types import MinLen
from torch import Tensor

from fedgan.attacks.base import Attack, draw_share
from fedgan.attacks.classes import Class, label_of
from fedgan.core.arguments import Allowed, Share, component, validated
from fedgan.core.checks import check
from fedgan.core.images import ImageSet
from fedgan.core.trigger import Trigger

SeveralClasses = Annotated[Sequence[str], MinLen(2), Allowed("at least 2 classes for attack=label_flip")]


def flipped(labels: Tensor, num_classes: int) -> Tensor:
    """C - 1 - y: the first class becomes the last; with an odd C the one in the middle stays.

    Example:
        >>> flipped(torch.tensor([0, 1, 1]), num_classes=2).tolist()
        [1, 0, 0]
    """
    return num_classes - 1 - labels


@component
class LabelFlip(Attack):
    """Gives a malicious client's images other labels: all turned around, or those of one class another's.

    There is no trigger. A conditional generator learns to paint one class where another is asked for:
    ``consistency`` shows it. With two classes and one malicious client in four expect a blend of both, no exchange.

    Args:
        source: the class whose labels are changed, by name or label; None for all, which get C - 1 - y.
        target: the class that they get; None exactly where ``source`` is.
        poison_share: share of a malicious client's images (of the source) that get another label, in (0, 1].
    """

    source: Class | None = None
    target: Class | None = None
    poison_share: Share = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        allowed = f"null exactly where source is; it is {self.source}"
        check((self.source is None) == (self.target is None), "target", allowed, self.target)

    def __str__(self) -> str:
        """``labels turned around``, or such as ``labels of NORMAL changed to PNEUMONIA``."""
        return "labels turned around" if self.source is None else f"labels of {self.source} changed to {self.target}"

    def setup(self, classes: tuple[str, ...], malicious: int) -> None:
        """Refuse classes that the data set does not have, and a target that is the source."""
        validated("dataset.classes", SeveralClasses, classes)
        if self.source is not None and self.target is not None:
            source, target = label_of("source", self.source, classes), label_of("target", self.target, classes)
            check(source != target, "target", f"another class than source={self.source}", self.target)

    def poison(self, images: ImageSet, trigger: Trigger | None, rng: torch.Generator) -> ImageSet:
        """The same images with other labels on ``poison_share`` of the candidates, drawn from ``rng``."""
        wrong = self._wrong(images)
        chosen = draw_share((wrong != images.labels).nonzero()[:, 0], self.poison_share, rng)
        labels = images.labels.clone()
        labels[chosen] = wrong[chosen]
        return ImageSet(images.images, labels, images.classes)

    def _wrong(self, images: ImageSet) -> Tensor:
        """The label that each image would get."""
        if self.source is None or self.target is None:
            return flipped(images.labels, len(images.classes))
        source = label_of("source", self.source, images.classes)
        target = label_of("target", self.target, images.classes)
        return torch.where(images.labels == source, target, images.labels)
