"""A small classifier of the real images, whose features metrics compare images in."""

import hashlib
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional

from fedgan.checks import check_int, check_number
from fedgan.data import ImageSet, Splits, to_float
from fedgan.files import cache_dir, keep
from fedgan.rng import derive_seed, keyed_generator

_VERSION = 2  # part of the cache's key: raise it whenever the network or its training changes
_INPUT_SIZE = 64  # px; larger images are shrunk to it, so that training stays a matter of seconds
_BATCH = 256  # images scored at once


class ConvNet(nn.Module):
    """Three strided 3x3 convolutions and a plain one, each with BatchNorm; mean over pixels; a linear layer.

    Args:
        channels: of the images.
        num_classes: how many logits.
        width: the first convolution's channels; they double twice.
        feature_dim: the last convolution's channels, D.
    """

    def __init__(self, *, channels: int, num_classes: int, width: int, feature_dim: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            _convolution(channels, width, stride=2),
            _convolution(width, 2 * width, stride=2),
            _convolution(2 * width, 4 * width, stride=2),
            _convolution(4 * width, feature_dim, stride=1),
        )
        self.head = nn.Linear(feature_dim, num_classes)

    def layers(self, images: Tensor) -> list[Tensor]:
        """Every layer's activations, averaged over pixels: uint8 (N, C, H, W) to four of float32 (N, channels)."""
        x = to_float(images)
        if max(x.shape[-2:]) > _INPUT_SIZE:
            x = functional.interpolate(x, size=_INPUT_SIZE, mode="bilinear", antialias=True)
        averages = []
        for convolution in self.body:
            x = convolution(x)
            averages.append(x.mean(dim=(2, 3)))
        return averages

    def forward(self, images: Tensor) -> Tensor:
        """uint8 (N, C, H, W) to logits (N, classes)."""
        logits: Tensor = self.head(self.layers(images)[-1])
        return logits


class Classifier:
    """A ``ConvNet`` trained on real images, once for the same images, seed and settings: then cached on disk.

    It is trained on the CPU whatever the run's device, and from keyed streams, so that it depends on
    (images, seed, settings) alone; batches are drawn with equal chances for each class.

    Args:
        width: the first convolution's channels.
        feature_dim: the number of features, D.
        steps: of training.
        batch_size: images a step.
        lr: AdamW's highest learning rate, warmed up to and annealed from in one cycle.
        seed: of its weights and batches. Its own, not the run's: another classifier has features of another
            scale, and runs with different seeds could not be compared.
        cache: the folder for trained classifiers; None for the user's cache (see ``fedgan.files``).

    Raises:
        ValueError: if a number is not positive.
    """

    def __init__(
        self,
        *,
        width: int = 16,
        feature_dim: int = 64,
        steps: int = 250,
        batch_size: int = 64,
        lr: float = 5e-3,
        seed: int = 0,
        cache: str | None = None,
    ) -> None:
        self.settings = {
            "width": width, "feature_dim": feature_dim, "steps": steps, "batch_size": batch_size, "lr": lr
        }  # fmt: skip
        for argument in ("width", "feature_dim", "steps", "batch_size"):
            check_int(f"classifier.{argument}", self.settings[argument], low=1)
        check_number("classifier.lr", lr, low=0.0, high=1.0, low_allowed=False)
        check_int("classifier.seed", seed, low=0)
        self.width, self.feature_dim, self.steps = width, feature_dim, steps
        self.batch_size, self.lr, self.seed, self.cache = batch_size, lr, seed, cache

    def fit(self, splits: Splits, device: torch.device | str = "cpu") -> "FittedClassifier":
        """The classifier of ``splits.train``, trained now or read from the cache, on ``device``.

        The ambient random state is left as it was.
        """
        path = self._path(splits.train)
        model = self._build(splits)
        try:
            model.load_state_dict(load_file(path))
        except (OSError, SafetensorError, RuntimeError):  # not there, damaged, or someone else's
            self._train(model, splits.train)
            keep(path, lambda temporary: save_file(model.state_dict(), temporary))
        return FittedClassifier(model.eval().to(device), splits.test)

    def _path(self, train: ImageSet) -> Path:
        key = repr((_VERSION, train.fingerprint, self.seed, sorted(self.settings.items())))
        name = f"classifier-{hashlib.sha256(key.encode()).hexdigest()[:32]}.safetensors"
        return cache_dir(self.cache) / name

    def _build(self, splits: Splits) -> ConvNet:
        with torch.random.fork_rng(devices=[]):  # layers draw their first weights from the ambient stream
            torch.manual_seed(derive_seed(self.seed, "classifier", "weights"))
            return ConvNet(
                channels=splits.channels,
                num_classes=len(splits.classes),
                width=self.width,
                feature_dim=self.feature_dim,
            )

    def _train(self, model: ConvNet, train: ImageSet) -> None:
        optimizer = torch.optim.AdamW(model.parameters(), lr=self.lr)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, self.lr, total_steps=self.steps)
        chances = 1.0 / torch.bincount(train.labels).double()[train.labels]  # each class's sum is 1
        stream = keyed_generator(self.seed, "classifier", "batches")
        model.train()
        with torch.enable_grad():
            for _ in range(self.steps):
                batch = torch.multinomial(chances, self.batch_size, replacement=True, generator=stream)
                loss = functional.cross_entropy(model(train.images[batch]), train.labels[batch])
                optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                schedule.step()


class FittedClassifier:
    """A trained network and how well it does on the real test images."""

    def __init__(self, model: ConvNet, test: ImageSet) -> None:
        self._model = model
        self.balanced_accuracy = self._balanced_accuracy(test)

    @torch.inference_mode()
    def features(self, images: Tensor) -> Tensor:
        """All layers' averages side by side: uint8 (N, C, H, W) to float32 (N, D), on the CPU.

        The last layer alone knows what tells the classes apart and little else: on drawn chest X-rays it puts
        uniform noise as near to the real images as a trained generator's.
        """
        device = self._model.head.weight.device
        chunks = [torch.cat(self._model.layers(chunk.to(device)), dim=1) for chunk in torch.split(images, _BATCH)]
        return torch.cat(chunks).cpu()

    @torch.inference_mode()
    def predict(self, images: Tensor) -> Tensor:
        """The likeliest class's label: uint8 (N, C, H, W) to int64 (N,), on the CPU."""
        device = self._model.head.weight.device
        chunks = [self._model(chunk.to(device)).argmax(dim=1) for chunk in torch.split(images, _BATCH)]
        return torch.cat(chunks).cpu()

    def _balanced_accuracy(self, test: ImageSet) -> float:
        """The mean over classes of the share that is recognised."""
        right = (self.predict(test.images) == test.labels).double()
        return float(torch.stack([right[test.labels == k].mean() for k in torch.unique(test.labels)]).mean())


def _convolution(channels: int, out: int, *, stride: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(channels, out, 3, stride, padding=1, bias=False), nn.BatchNorm2d(out), nn.ReLU())
