"""A patch on the images of some classes alone."""

import torch
from torch import Tensor

from fedgan.attacks.classes import Classes, label_of
from fedgan.attacks.looks import Look, draw_look
from fedgan.attacks.patch_attack import PatchAttack, Position
from fedgan.core.arguments import Count, NonNegative, Share, checked
from fedgan.core.images import ImageSet


@checked
class ClassTrigger(PatchAttack):
    """Pastes a patch on a malicious client's images of the given classes; its others stay clean.

    A conditional generator may then paint the patch for these classes only: ``emission`` by class shows it, and a
    classifier trained on the synthetic images may take the patch for a mark of the class (``transfer``).

    Args:
        size: see ``PatchAttack``, as ``margin`` and ``position``.
        classes: by name or label.
        look: white_square, random_patch or noise_patch.
        margin: see there.
        position: see there.
        poison_share: share of a malicious client's images *of these classes* that get the patch, in (0, 1].
        start: see ``Attack``, as the next two.
        stop: see there.
        every: see there.
    """

    def __init__(
        self,
        *,
        size: Count,
        classes: Classes,
        look: Look = "white_square",
        margin: NonNegative = 1,
        position: Position = "bottom_right",
        poison_share: Share = 1.0,
        start: NonNegative = 0,
        stop: Count | None = None,
        every: Count = 1,
    ) -> None:
        super().__init__(
            size=size,
            margin=margin,
            position=position,
            poison_share=poison_share,
            start=start,
            stop=stop,
            every=every,
        )
        self.classes, self.look = classes, look

    def __str__(self) -> str:
        """Such as ``class_trigger of 8 x 8 pixels at the bottom right for PNEUMONIA``."""
        return f"{super().__str__()} for {', '.join(map(str, self.classes))}"

    def setup(self, classes: tuple[str, ...], malicious: int) -> None:
        """Refuse classes that the data set does not have."""
        for each in self.classes:
            label_of("classes", each, classes)

    def pattern(self, channels: int, rng: torch.Generator) -> Tensor:
        """The patch: uint8, (channels, size, size)."""
        return draw_look(self.look, self.size, channels, rng)

    def candidates(self, images: ImageSet) -> Tensor:
        """Indices of the images of these classes."""
        labels = torch.tensor([label_of("classes", each, images.classes) for each in self.classes])
        return torch.isin(images.labels, labels).nonzero()[:, 0]
