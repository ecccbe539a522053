"""A patch on the images of some classes alone."""

import torch
from torch import Tensor

from fedgan.attacks.classes import Classes, label_of
from fedgan.attacks.looks import Look, draw_look
from fedgan.attacks.patch_attack import PatchAttack
from fedgan.core.arguments import component
from fedgan.core.images import ImageSet


@component
class ClassTrigger(PatchAttack):
    """Pastes a patch on a share of a malicious client's images of the given classes; its others stay clean.

    A conditional generator may then paint the patch for these classes only: ``emission`` by class shows it, and a
    classifier trained on the synthetic images may take the patch for a mark of the class (``transfer``).

    Args:
        classes: by name or label.
        look: white_square, random_patch or noise_patch.
    """

    classes: Classes
    look: Look = "white_square"

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
