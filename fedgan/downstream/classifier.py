"""A diagnostic classifier of images: how it is built and trained (Section 4.4.1), and its networks."""

import re
from collections.abc import Iterator
from http.client import HTTPException
from math import ceil
from pathlib import Path
from pickle import UnpicklingError
from typing import Annotated, Protocol

import torch
from annotated_types import Ge
from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.utilities.types import OptimizerLRScheduler
from safetensors import SafetensorError
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models import DenseNet121_Weights, densenet121
from torchvision.transforms.functional import normalize

from fedgan.core.arguments import Channels, Count, PathText, Share, checked
from fedgan.core.checks import check
from fedgan.core.images import ImageSet
from fedgan.core.optimizers import OptimizerFactory
from fedgan.core.precision import Device
from fedgan.core.rng import derive_seed, keyed_generator
from fedgan.metrics.pretrained.weights import downloading, read_weights
from fedgan.runs.signals import interruptible

Batch = tuple[Tensor, Tensor]  # images, uint8 (N, C, H, W); labels, int64 (N,)
# Raised by a file that is missing, damaged, or of another network.
UNUSABLE = (
    *(OSError, EOFError, HTTPException, SafetensorError, UnpicklingError),
    *(RuntimeError, LookupError, TypeError, AttributeError),
)

_IMAGENET_MEAN, _IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_SCORED_AT_ONCE = 64  # images


class NetworkFactory(Protocol):
    """Makes the network: uint8 images (N, C, H, W) to logits (N, classes)."""

    def __call__(self, *, channels: int, num_classes: int) -> nn.Module: ...


@checked
class DenseNet121(nn.Module):
    """DenseNet121 (Huang et al. 2017) as torchvision builds it, with a new head, on images of any size.

    Args:
        channels: of the images; gray is repeated to RGB.
        num_classes: how many logits.
        image_size: pixels per side that images are resized to; the paper: 224.
        weights: None: random; ``imagenet``: torchvision's, downloaded once; else a file with the state dict of a
            torchvision densenet121 (.safetensors, or a pickle of tensors alone), whose head is left out.

    Raises:
        ValueError: in one line, if the weights are out of reach or another network's.
    """

    def __init__(
        self,
        *,
        channels: Channels,
        num_classes: Count,
        image_size: Annotated[int, Ge(32)] = 224,
        weights: PathText | None = None,
    ) -> None:
        super().__init__()
        self.image_size = image_size
        self.body = densenet121()
        num_features = self.body.classifier.in_features
        self.body.classifier = nn.Identity()
        if weights is not None:
            load_weights(self.body, weights)
        self.head = nn.Linear(num_features, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """uint8 (N, C, H, W) to logits (N, classes)."""
        x = images.float().div_(255)
        if images.shape[-1] != self.image_size or images.shape[-2] != self.image_size:
            x = functional.interpolate(x, size=(self.image_size,) * 2, mode="bilinear", antialias=True)
        x = normalize(x.expand(-1, 3, -1, -1), _IMAGENET_MEAN, _IMAGENET_STD)  # (N, 3, S, S)
        logits: Tensor = self.head(self.body(x))
        return logits


def load_weights(body: nn.Module, weights: str) -> None:
    """Fill a headless densenet121 from torchvision's weights or a file's (see ``DenseNet121``)."""
    try:
        state = _read_weights(weights)
        # torchvision's own file has names from before 2018, such as denselayer1.norm.1.weight.
        named = {re.sub(r"(denselayer\d+\.(?:norm|conv))\.([12]\.)", r"\1\2", name): t for name, t in state.items()}
        body.load_state_dict({name: t for name, t in named.items() if not name.startswith("classifier.")})
    except UNUSABLE as error:
        allowed = "null, imagenet (needs the internet once) or a file of torchvision's densenet121"
        reason = " ".join(str(error).split())[:200]
        raise ValueError(f"classifier.network.weights must be {allowed}; got {weights!r} ({reason})") from error


def _read_weights(weights: str) -> dict[str, Tensor]:
    if weights == "imagenet":
        with downloading():
            return dict(DenseNet121_Weights.IMAGENET1K_V1.get_state_dict(check_hash=True))
    return dict(read_weights(Path(weights).expanduser()))


def random_flips(images: Tensor, rng: torch.Generator) -> Tensor:
    """Each image mirrored left to right with chance 1/2, and top to bottom with chance 1/2 too.

    Args:
        images: (N, C, H, W).
        rng: on the CPU.

    Example:
        >>> image = torch.arange(4).reshape(1, 1, 2, 2)
        >>> flipped = random_flips(image.expand(40, 1, 2, 2), torch.Generator().manual_seed(0))
        >>> sorted({tuple(each.flatten().tolist()) for each in flipped})
        [(0, 1, 2, 3), (1, 0, 3, 2), (2, 3, 0, 1), (3, 2, 1, 0)]
    """
    for dim in (-1, -2):
        chosen = torch.rand(len(images), generator=rng) < 0.5
        images = torch.where(chosen.to(images.device)[:, None, None, None], images.flip(dim), images)
    return images


class Batches:
    """An epoch's batches, in a new order each time; Lightning takes it for a data loader.

    Args:
        images: the training images.
        batch_size: images per step, at most.
        steps: per epoch, each of ``batch_size`` images: the images are gone through as often as that takes, so
            that each is seen as often as the others, give or take once. None: each image once, in batches whose
            sizes differ by at most one, so that none is left with a single image, which BatchNorm cannot take.
        least_steps: where one pass takes fewer steps, as many as this.
        rng: of the order.

    Attributes:
        draws: images per epoch.

    Example:
        >>> two = ImageSet(torch.zeros(2, 1, 4, 4, dtype=torch.uint8), torch.tensor([0, 1]), ("a", "b"))
        >>> [labels.bincount().tolist() for _, labels in Batches(two, 4, steps=3, rng=torch.Generator())]
        [[2, 2], [2, 2], [2, 2]]
    """

    def __init__(
        self, images: ImageSet, batch_size: int, *, steps: int | None, least_steps: int = 1, rng: torch.Generator
    ) -> None:
        self.images, self.rng = images, rng
        if steps is None and len(images) <= (least_steps - 1) * batch_size:
            steps = least_steps
        self.draws = len(images) if steps is None else steps * batch_size
        self.steps = ceil(self.draws / batch_size)

    def __len__(self) -> int:
        return self.steps

    def __iter__(self) -> Iterator[Batch]:
        passes = ceil(self.draws / len(self.images))
        order = torch.cat([torch.randperm(len(self.images), generator=self.rng) for _ in range(passes)])
        for indices in torch.tensor_split(order[: self.draws], self.steps):
            yield self.images.images[indices], self.images.labels[indices]


class ImageClassifier(LightningModule):
    """A network trained by cross-entropy.

    Args:
        network: uint8 images (N, C, H, W) to logits (N, classes).
        optimizer: makes the optimizer from the parameters.
        decay: what the learning rate is multiplied by after each epoch.
        flips: None, or the random stream of the flips that training images go through.
    """

    def __init__(
        self, *, network: nn.Module, optimizer: OptimizerFactory, decay: float, flips: torch.Generator | None = None
    ) -> None:
        super().__init__()
        self.network, self.optimizer, self.decay, self.flips = network, optimizer, decay, flips

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """The batch's mean cross-entropy."""
        images, labels = batch
        if self.flips is not None:
            images = random_flips(images, self.flips)
        return functional.cross_entropy(self.network(images), labels)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """The optimizer, and its learning rate's decay by epoch."""
        optimizer = self.optimizer(self.parameters())
        return [optimizer], [torch.optim.lr_scheduler.ExponentialLR(optimizer, self.decay)]

    @torch.no_grad()
    def classify(self, images: Tensor) -> Tensor:
        """The likeliest class's label: uint8 (N, C, H, W) to int64 (N,), on the CPU."""
        self.eval()
        chunks = torch.split(images, _SCORED_AT_ONCE)
        return torch.cat([self.network(chunk.to(self.device)).argmax(dim=1).cpu() for chunk in chunks])


@checked
class ClassifierRecipe:
    """How a classifier is built and trained; what comes out depends on the images and the seed alone.

    With the same seed, all classifiers start from the same weights, whatever they are trained on.

    Args:
        network: makes the network from the images' channels and the number of classes.
        optimizer: makes the optimizer from the parameters.
        decay: what the learning rate is multiplied by after each epoch, in (0, 1]; the paper: 0.9.
        epochs: of training; the paper: 20.
        steps_per_epoch: steps that make an epoch; None: as many as one pass over the training images takes, so that
            each image is seen ``epochs`` times, whatever it is trained with.
        least_steps_per_epoch: where that is None and a pass takes fewer: a handful of images needs more passes.
        batch_size: images per step, at least 2. The paper does not state it.
        flips: whether training images are flipped at random, left to right and top to bottom.
        accelerator: where it is trained: cpu or cuda.

    Raises:
        ValueError: in one line, if one of these is out of range or there is no GPU.
    """

    def __init__(
        self,
        *,
        network: NetworkFactory,
        optimizer: OptimizerFactory,
        decay: Share = 0.9,
        epochs: Count = 20,
        steps_per_epoch: Count | None = None,
        least_steps_per_epoch: Count = 1,
        batch_size: Annotated[int, Ge(2)] = 32,
        flips: bool = False,
        accelerator: Device = "cpu",
    ) -> None:
        self.network, self.optimizer, self.decay, self.flips = network, optimizer, decay, flips
        self.epochs, self.batch_size = epochs, batch_size
        self.steps_per_epoch, self.least_steps_per_epoch = steps_per_epoch, least_steps_per_epoch
        self.device = torch.device(accelerator)

    def fit(self, images: ImageSet, seed: int) -> ImageClassifier:
        """A classifier trained on ``images``, on the recipe's device; the ambient random state stays as it was.

        Raises:
            ValueError: if training left the finite numbers.
        """
        model = self.build(images, seed)
        trainer = Trainer(
            accelerator=self.device.type,
            devices=1,
            max_epochs=self.epochs,
            deterministic=True,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        with interruptible(trainer):
            trainer.fit(model, self.batches(images, seed))
        finite = all(bool(p.isfinite().all()) for p in model.parameters())
        check(finite, "classifier.optimizer", "such that training stays finite", "weights that are not")
        return model.to(self.device)

    def batches(self, images: ImageSet, seed: int) -> Batches:
        """An epoch's batches."""
        order = keyed_generator(seed, "classifier", "order")
        steps, least = self.steps_per_epoch, self.least_steps_per_epoch
        return Batches(images, self.batch_size, steps=steps, least_steps=least, rng=order)

    def build(self, images: ImageSet, seed: int) -> ImageClassifier:
        """The untrained classifier: its weights are those that the seed alone draws."""
        with torch.random.fork_rng(devices=[]):  # layers draw their first weights from the ambient stream
            torch.manual_seed(derive_seed(seed, "classifier", "weights"))
            network = self.network(channels=images.images.shape[1], num_classes=len(images.classes))
        flips = keyed_generator(seed, "classifier", "flips") if self.flips else None
        return ImageClassifier(network=network, optimizer=self.optimizer, decay=self.decay, flips=flips)
