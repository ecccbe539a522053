"""A small classifier of the real images, whose features metrics compare images in."""

import hashlib
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional

from fedgan.core.arguments import Channels, Count, PathText, Seed, Share, checked
from fedgan.core.files import cache_dir, keep
from fedgan.core.images import ImageSet, to_float
from fedgan.core.precision import cpu_name
from fedgan.core.rng import derive_seed, keyed_generator
from fedgan.core.update import state_hash
from fedgan.metrics.base import Reference

_VERSION = 3  # part of the cache's key: raise it whenever the network or its training changes
_INPUT_SIZE = 64  # px; larger images are shrunk to it, so that training stays a matter of seconds
_BATCH = 256  # images scored at once


@checked
class ConvNet(nn.Module):
    """Three strided 3x3 convolutions and a plain one, each with BatchNorm; mean over pixels; a linear layer.

    Args:
        channels: of the images.
        num_classes: how many logits.
        width: the first convolution's channels; they double twice.
        feature_dim: the last convolution's channels, D.
    """

    def __init__(self, *, channels: Channels, num_classes: Count, width: Count, feature_dim: Count) -> None:
        super().__init__()
        self.body = nn.Sequential(
            _convolution(channels, width, stride=2),
            _convolution(width, 2 * width, stride=2),
            _convolution(2 * width, 4 * width, stride=2),
            _convolution(4 * width, feature_dim, stride=1),
        )
        self.head = nn.Linear(feature_dim, num_classes)

    def layers(self, images: Tensor) -> list[Tensor]:
        """Every layer's activations: uint8 (N, C, H, W) to four of float32 (N, channels, h, w)."""
        x = to_float(images)
        if max(x.shape[-2:]) > _INPUT_SIZE:
            x = functional.interpolate(x, size=_INPUT_SIZE, mode="bilinear", antialias=True)
        activations = []
        for convolution in self.body:
            x = convolution(x)
            activations.append(x)
        return activations

    def forward(self, images: Tensor) -> Tensor:
        """uint8 (N, C, H, W) to logits (N, classes)."""
        logits: Tensor = self.head(self.layers(images)[-1].mean(dim=(2, 3)))
        return logits

    @torch.inference_mode()
    def predict(self, images: Tensor) -> Tensor:
        """The likeliest class's label: uint8 (N, C, H, W) to int64 (N,), on the CPU."""
        device = self.head.weight.device
        return torch.cat([self(chunk.to(device)).argmax(dim=1).cpu() for chunk in torch.split(images, _BATCH)])

    def recall(self, images: ImageSet) -> dict[str, float]:
        """The share of its images that is recognized, in [0, 1], of each class that has some."""
        right = (self.predict(images.images) == images.labels).double()
        present = {name: images.labels == k for k, name in enumerate(images.classes) if (images.labels == k).any()}
        return {name: float(right[members].mean()) for name, members in present.items()}


@checked
class Classifier:
    """A ``ConvNet`` trained on real images, once for the same images, seed, settings and machine: then cached on disk.

    It is trained on the CPU whatever the run's device, on one thread whatever the run's number, and from keyed streams,
    so that it depends on nothing else; batches are drawn with equal chances for each class. Its hash is in the facts
    of the metrics that use it: metrics of two runs compare where the hashes are equal.

    Args:
        width: the first convolution's channels.
        feature_dim: the number of features, D.
        steps: of training.
        batch_size: images per step.
        lr: AdamW's highest learning rate, warmed up to and annealed from in one cycle.
        seed: of its weights and batches. Its own, not the run's: another classifier has features of another
            scale, and runs with different seeds could not be compared.
        cache: the folder for trained classifiers; None for the user's cache (see ``fedgan.core.files``).

    Raises:
        ValueError: if a number is out of range.
    """

    def __init__(
        self,
        *,
        width: Count = 16,
        feature_dim: Count = 64,
        steps: Count = 250,
        batch_size: Count = 64,
        lr: Share = 5e-3,
        seed: Seed = 0,
        cache: PathText | None = None,
    ) -> None:
        self.settings = {
            "width": width, "feature_dim": feature_dim, "steps": steps, "batch_size": batch_size, "lr": lr
        }  # fmt: skip
        self.width, self.feature_dim, self.steps = width, feature_dim, steps
        self.batch_size, self.lr, self.seed = batch_size, lr, seed
        self.cache = cache

    def fit(self, reference: Reference) -> "FittedClassifier":
        """The classifier of the real training images, trained now or read from the cache.

        The ambient random state is left as it was.

        Raises:
            Unavailable: if a class has no training image.
        """
        reference.need_train(1)
        train = reference.train
        folder = cache_dir(self.cache)
        model = self.train(train) if folder is None else self._cached(train, folder / self._name(train))
        return FittedClassifier(model.eval().to(reference.device), reference.splits.test)

    def train(self, images: ImageSet) -> ConvNet:
        """A network trained on ``images``: now, on one thread of the CPU, and not cached."""
        model = self._build(images).train()
        optimizer = torch.optim.AdamW(model.parameters(), lr=self.lr)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, self.lr, total_steps=self.steps)
        chances = 1.0 / torch.bincount(images.labels).double()[images.labels]  # each class's sum is 1
        stream = keyed_generator(self.seed, "classifier", "batches")
        with one_thread(), torch.enable_grad():
            for _ in range(self.steps):
                batch = torch.multinomial(chances, self.batch_size, replacement=True, generator=stream)
                loss = functional.cross_entropy(model(images.images[batch]), images.labels[batch])
                optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                schedule.step()
        return model.eval()

    def _cached(self, train: ImageSet, path: Path) -> ConvNet:
        model = self._build(train)
        try:
            model.load_state_dict(load_file(path))
        except (OSError, SafetensorError, RuntimeError):  # not there, damaged, or someone else's
            model = self.train(train)
            keep(path, lambda temporary: save_file(model.state_dict(), temporary))
        return model

    def _name(self, train: ImageSet) -> str:
        key = repr((_VERSION, *rounding(), train.fingerprint, self.seed, sorted(self.settings.items())))
        return f"classifier-{hashlib.sha256(key.encode()).hexdigest()[:32]}.safetensors"

    def _build(self, images: ImageSet) -> ConvNet:
        with torch.random.fork_rng(devices=[]):  # layers draw their first weights from the ambient stream
            torch.manual_seed(derive_seed(self.seed, "classifier", "weights"))
            return ConvNet(
                channels=images.images.shape[1],
                num_classes=len(images.classes),
                width=self.width,
                feature_dim=self.feature_dim,
            )


class FittedClassifier:
    """A trained network, as a ruler: features of images, distances between images.

    Attributes:
        model: the network, in evaluation mode.
        recall: by class, the share of the real test images that is recognized.
        facts: the balanced accuracy on the real test images, and the hash of the weights.
    """

    def __init__(self, model: ConvNet, test: ImageSet) -> None:
        self.model = model
        self.recall = model.recall(test)
        self.balanced_accuracy = sum(self.recall.values()) / len(self.recall)
        self.facts: dict[str, float | str] = {
            "classifier_balanced_accuracy": self.balanced_accuracy,
            "classifier_weights": state_hash(model.state_dict()),
        }
        # Layers differ in scale by far; in units of the real images' spread each feature counts alike.
        # One that hardly moves on real images is no unit: divided by next to nothing it would drown all others.
        spread = self._averages(test.images).std(dim=0)
        self._scale = spread.clamp(min=max(0.01 * float(spread.max()), 1e-6))

    def features(self, images: Tensor) -> Tensor:
        """All layers' averages over pixels side by side, each in units of its standard deviation over the real test
        images: uint8 (N, C, H, W) to float64 (N, D), on the CPU.

        The last layer alone has what distinguishes the classes and little else: on drawn chest X-rays it puts
        uniform noise as near to the real images as a trained generator's.
        """
        return self._averages(images) / self._scale

    @torch.inference_mode()
    def distances(self, x: Tensor, y: Tensor) -> Tensor:
        """The perceptual distance of each pair, at least 0: uint8 (B, C, H, W) twice to float64 (B,), on the CPU.

        Equation 1 of Zhang et al. 2018 with w_l = 1: in every layer activations are scaled to length 1 over channels;
        the squared difference is summed over channels, averaged over pixels and summed over layers.
        """
        device = self.model.head.weight.device
        layers = zip(self.model.layers(x.to(device)), self.model.layers(y.to(device)), strict=True)
        parts = [(functional.normalize(a) - functional.normalize(b)).square().sum(1).mean((1, 2)) for a, b in layers]
        return torch.stack(parts).sum(dim=0).double().cpu()

    @torch.inference_mode()
    def _averages(self, images: Tensor) -> Tensor:
        device = self.model.head.weight.device
        chunks = [self.model.layers(chunk.to(device)) for chunk in torch.split(images, _BATCH)]
        return torch.cat([torch.cat([a.mean(dim=(2, 3)) for a in layers], dim=1).double().cpu() for layers in chunks])


@contextmanager
def one_thread() -> Iterator[None]:
    """Have torch compute on one thread: how sums are rounded depends on the number of threads that share them."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def rounding() -> tuple[str, ...]:
    """What decides how one thread rounds: torch's version, the instructions that it uses, the kind of machine."""
    return torch.__version__, torch.backends.cpu.get_cpu_capability(), platform.machine(), cpu_name()


def _convolution(channels: int, out: int, *, stride: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(channels, out, 3, stride, padding=1, bias=False), nn.BatchNorm2d(out), nn.ReLU())
