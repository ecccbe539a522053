"""LPIPS: the perceptual distance in AlexNet's layers, weighted by people's judgments (Zhang et al. 2018)."""

import warnings

import lpips
import torch
from torch import Tensor
from torchvision.models import AlexNet_Weights

from fedgan.core.arguments import Seed, checked
from fedgan.core.images import to_float
from fedgan.core.update import State, state_hash
from fedgan.metrics.base import Reference, Unavailable
from fedgan.metrics.perceptual import PairedDistance
from fedgan.metrics.pretrained.weights import WeightsFile, pretrained, to_rgb

_LEAST_SIZE = 31  # px; AlexNet's second pooling has nothing to pool below


class AlexNet:
    """AlexNet trained on ImageNet, with LPIPS's linear layers (version 0.1, shipped with ``lpips``).

    Args:
        weights: a state dict of torchvision's AlexNet; None for torchvision's download (IMAGENET1K_V1).
        setting: what errors call ``weights``.
    """

    def __init__(self, *, weights: str | None, setting: str) -> None:
        self.weights, self.setting = weights, setting

    def fit(self, reference: Reference) -> "LoadedLPIPS":
        """Load it; there is nothing to train.

        Raises:
            ValueError: if the file is not there or not AlexNet's.
            Unavailable: without a file or a download, or if the images are too small.
        """
        if reference.splits.image_size < _LEAST_SIZE:
            raise Unavailable(f"AlexNet takes images from {_LEAST_SIZE} px; got {reference.splits.image_size}")
        url = AlexNet_Weights.IMAGENET1K_V1.url
        model = pretrained(build_lpips, setting=self.setting, weights=self.weights, url=url)
        return LoadedLPIPS(model.to(reference.device))


def build_lpips(alexnet: State) -> lpips.LPIPS:
    """LPIPS on the convolutions of a torchvision AlexNet; its classifying layers are not needed."""
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # lpips calls torchvision by names of old
        model = lpips.LPIPS(net="alex", pnet_rand=True, verbose=False)
    # "slice2.3.weight" there is "features.3.weight" here
    model.net.load_state_dict({key: alexnet[f"features.{key.partition('.')[2]}"] for key in model.net.state_dict()})
    return model


class LoadedLPIPS:
    """LPIPS, ready to compare. ``facts`` has the hash of its trunk's weights."""

    def __init__(self, model: lpips.LPIPS) -> None:
        self._model = model
        self.facts: dict[str, float | str] = {"lpips_weights": state_hash(model.net.state_dict())}

    @torch.inference_mode()
    def distances(self, x: Tensor, y: Tensor) -> Tensor:
        """Of each pair: uint8 (B, C, H, W) twice to float64 (B,), on the CPU."""
        device = self._model.scaling_layer.shift.device
        a, b = (to_rgb(to_float(images.to(device))) for images in (x, y))
        distances: Tensor = self._model(a, b).flatten().double().cpu()
        return distances


@checked
class LPIPS(PairedDistance):
    """The mean LPIPS between a synthetic and a random real test image of the same class (the paper's Tables 1 to 4).

    Args:
        weights: of AlexNet: a file, or None for the download.
        seed: of the pairs.
    """

    names = ("lpips", "lpips_se")

    def __init__(self, *, weights: WeightsFile | None = None, seed: Seed = 0) -> None:
        super().__init__(classifier=AlexNet(weights=weights, setting="metrics.lpips.weights"), seed=seed)

    @property
    def network(self) -> str:
        """The hash of AlexNet's convolutions."""
        return str(self._facts["lpips_weights"])
