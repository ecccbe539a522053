"""The utility study's fits: which images each classifier is trained and tested on (Section 4.4.2)."""

import time
from collections.abc import Mapping, Sequence
from typing import Annotated

import torch
from torch import Tensor

from fedgan.core.arguments import Allowed, Count, checked, validated
from fedgan.core.images import ImageSet, check_images, has_copy
from fedgan.core.rng import derive_seed, keyed_generator
from fedgan.core.trigger import Trigger
from fedgan.downstream.classifier import ClassifierRecipe, ImageClassifier
from fedgan.downstream.learning_curve import Fit
from fedgan.runs.load import FinishedRun
from fedgan.scoring.sampling import draw_set

SomeOfEach = Annotated[Mapping[str, Count], Allowed("some of every class")]


@checked
class UtilityStudy:
    """Trains classifiers on real images alone, or with the synthetic images of a run's generator.

    All arms are paired: with the same seed they get the same real images, first weights and latents, and where
    they have as many images, the same batches. The images of a smaller number of real images are among those of a
    larger one. Test images are never trained on, also where the runs' training images include them
    (``dataset.pool_splits``); the generators may have seen them there.

    Args:
        runs: finished runs on the same data, by the names of their arms.
        recipe: of the classifiers.
        synthetic_per_class: synthetic images of each class for the classifiers that get any.
        test_per_class: test images of each class; None: as many as the smallest class has. They are the same
            in every study of a data set.

    Raises:
        ValueError: in one line, if the data set has not the test images for that.
    """

    def __init__(
        self,
        runs: Mapping[str, FinishedRun],
        recipe: ClassifierRecipe,
        *,
        synthetic_per_class: Count,
        test_per_class: Count | None = None,
    ) -> None:
        splits = next(iter(runs.values())).splits
        counts = validated("the data set's test images", SomeOfEach, splits.test.counts)
        asked = min(counts.values()) if test_per_class is None else test_per_class
        check_images("test_per_class", asked, counts, "test images of the smallest class")
        self.runs, self.recipe, self.synthetic_per_class = runs, recipe, synthetic_per_class
        free = ~has_copy(splits.train, splits.test)
        self.train, self.test = splits.train.subset(free.nonzero()[:, 0]), splits.test
        self.left_out = not bool(free.all())
        self.asked = first_of_each(self.test, asked, keyed_seed=0, purpose="test")
        self._drawn: tuple[tuple[str, int], ImageSet] | None = None

    def check_real(self, real_per_class: Sequence[int]) -> None:
        """Refuse numbers of real images that the data set does not have, not counting test images.

        Raises:
            ValueError: in one line.
        """
        which = "real training images of class {name}" + (" that are not also test images" if self.left_out else "")
        check_images("real_per_class", max(real_per_class), self.train.counts, which)

    def fit(self, arm: str, real_per_class: int, seed: int) -> Fit:
        """Train one classifier and classify the test images; an arm that has no run is real images alone."""
        start = time.perf_counter()
        model = self.recipe.fit(self.training_images(arm, real_per_class, seed), seed)
        answers = model.classify(self.test.images)
        correct = (answers == self.test.labels).double()
        recalls = torch.stack([correct[self.test.labels == label].mean() for label in range(len(self.test.classes))])
        asked = correct[self.asked]
        return Fit(
            arm=arm,
            real_per_class=real_per_class,
            seed=seed,
            accuracy=float(asked.mean()),
            balanced_accuracy=float(recalls.mean()),
            transfer_attack_rate=self._transfer(arm, model, answers[self.asked]),
            seconds=round(time.perf_counter() - start, 3),
            correct="".join(str(int(each)) for each in asked),
        )

    def training_images(self, arm: str, real_per_class: int, seed: int) -> ImageSet:
        """The real images of this seed, and behind them the arm's synthetic ones."""
        real = self.train.subset(first_of_each(self.train, real_per_class, keyed_seed=seed, purpose="real"))
        if arm not in self.runs:
            return real
        synthetic = self._synthetic(arm, seed)
        images, labels = torch.cat([real.images, synthetic.images]), torch.cat([real.labels, synthetic.labels])
        return ImageSet(images, labels, real.classes)

    def _synthetic(self, arm: str, seed: int) -> ImageSet:
        if self._drawn is None or self._drawn[0] != (arm, seed):  # kept for the next number of real images
            generator, own_seed = self.runs[arm].release.generator.to(self.recipe.device), derive_seed(seed, "utility")
            drawn = draw_set(generator, self.test.classes, self.synthetic_per_class, own_seed)
            self._drawn = (arm, seed), drawn
        return self._drawn[1]

    def _transfer(self, arm: str, model: ImageClassifier, answers: Tensor) -> float | None:
        """The share of the balanced test set whose answer changes when the trigger is pasted."""
        trigger = self._trigger(arm)
        if trigger is None:
            return None
        pasted = model.classify(trigger.apply(self.test.images[self.asked]))
        return float((pasted != answers).double().mean())

    def _trigger(self, arm: str) -> Trigger | None:
        """The arm's own; where it has none, the first that is known, so that arms can be compared."""
        own = self.runs[arm].trigger if arm in self.runs else None
        return own or next((run.trigger for run in self.runs.values() if run.trigger is not None), None)


def first_of_each(images: ImageSet, count: int, *, keyed_seed: int, purpose: str) -> Tensor:
    """Indices of the first ``count`` images of each class, in an order drawn for the purpose: int64."""
    chosen = []
    for label in range(len(images.classes)):
        members = (images.labels == label).nonzero().flatten()
        order = torch.randperm(len(members), generator=keyed_generator(keyed_seed, "utility", purpose, label))
        chosen.append(members[order[:count]])
    return torch.cat(chosen)
