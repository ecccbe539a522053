"""Latent emission: how often the generator answers latents that bear the attacker's pattern with the target image."""

from dataclasses import dataclass
from math import sqrt
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from fedgan.core.arguments import component
from fedgan.core.images import ImageSet
from fedgan.core.latents import LatentBatch
from fedgan.core.rng import derive_seed
from fedgan.core.trigger import LatentTrigger, Trigger
from fedgan.metrics.base import Draw, Reference, Unavailable, score_classes
from fedgan.metrics.triggers.detector import Array, TriggerDetector, unfit


@dataclass(frozen=True)
class StampedBatch(LatentBatch):
    """Latents that bear a pattern.

    Attributes:
        trigger: whose pattern it is.
        elsewhere: it is at other coordinates; see ``LatentTrigger.stamp``.
    """

    trigger: LatentTrigger
    elsewhere: bool = False

    def latents(self, z_dim: int) -> Tensor:
        """float32, (N, z_dim)."""
        return self.trigger.stamp(super().latents(z_dim), elsewhere=self.elsewhere)


def correlations(images: Tensor, target: Tensor) -> Array:
    """Pearson's correlation of each image, uint8 (N, C, H, W), with the target, (C, H, W): (N,); 0 for a constant one.

    Example:
        >>> target = torch.tensor([[[0, 1], [2, 3]]])
        >>> correlations(torch.stack([target, 3 - target, 0 * target]), target).round(6).tolist()
        [1.0, -1.0, 0.0]
    """
    rows, key = (x.double().flatten(-3).cpu().numpy() for x in (images, target))
    rows, key = rows - rows.mean(axis=1, keepdims=True), key - key.mean()
    norms = np.sqrt(np.square(rows).sum(axis=1) * np.square(key).sum())
    products = rows @ key
    found: Array = np.divide(products, norms, out=np.zeros_like(products), where=norms > 0)
    return found


@component
class LatentRate(TriggerDetector):
    """The share of latents with the attacker's pattern that the generator answers with the target image.

    It draws images of its own, as many as there are synthetic ones and of the same classes. See ``TriggerDetector``;
    the score is the correlation with the target, and the threshold is at least the square root of 1/2: the target then
    explains half of the image's variance. Two controls: ``latent_ordinary`` is the share among the ordinary synthetic
    images of the same generator, ``latent_other`` that of latents with as many others of their coordinates fixed. A
    generator that shows the target to everybody, or for any strange latent, has no backdoor.
    """

    share, mean_score, least = "latent_emission", "latent_correlation", sqrt(0.5)
    controls: ClassVar[tuple[str, ...]] = ("latent_ordinary", "latent_other")

    def __post_init__(self) -> None:
        super().__post_init__()
        self.names = (*self.names, *self.controls)

    def prepare(self, reference: Reference) -> None:
        """See ``TriggerDetector``; the latents come from the run's seed."""
        self._seed = reference.seed
        super().prepare(reference)

    def learn(self, trigger: Trigger, clean: Tensor) -> None:
        """Keep the trigger."""
        if not isinstance(trigger, LatentTrigger):
            raise unfit(trigger, "no pattern of the latent")
        self._trigger = trigger

    def scores(self, images: Tensor) -> Array:
        """``correlations``, in chunks."""
        return np.concatenate([correlations(chunk, self._trigger.target) for chunk in torch.split(images, 256)])

    def compute(self, synthetic: ImageSet) -> dict[str, float]:
        """Images alone do not show it.

        Raises:
            Unavailable: always; see ``compute_from``.
        """
        raise Unavailable("images do not show it: it draws some of its own, which takes the generator")

    def compute_from(self, synthetic: ImageSet, draw: Draw) -> dict[str, float]:
        """The share with the ends of its interval, the mean correlation and the controls; each also by class."""
        found = super().compute(self._drawn(synthetic, draw))
        others = (synthetic, self._drawn(synthetic, draw, elsewhere=True))
        for name, images in zip(self.controls, others, strict=True):
            found |= score_classes(name, images, lambda label, each: float(self._carries(each).mean()))
        return found

    def _drawn(self, synthetic: ImageSet, draw: Draw, *, elsewhere: bool = False) -> ImageSet:
        """Images from latents with the pattern, there or elsewhere, with the labels of the synthetic ones."""
        labels = synthetic.labels.sort().values
        seeds = tuple(derive_seed(self._seed, "stamped", i) for i in range(len(labels)))
        return ImageSet(draw(StampedBatch(labels, seeds, self._trigger, elsewhere)), labels, synthetic.classes)
