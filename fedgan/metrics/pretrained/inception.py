"""FID and KID: distances in the features of the Inception network that the field compares generators by."""

from io import BytesIO

import torch
from torch import Tensor
from torch_fidelity.feature_extractor_inceptionv3 import URL_INCEPTION_V3, FeatureExtractorInceptionV3

from fedgan.core.arguments import Seed, checked
from fedgan.core.update import State, state_hash
from fedgan.metrics.base import Reference
from fedgan.metrics.features import FeatureDistance
from fedgan.metrics.frechet import FrechetDistance
from fedgan.metrics.kernel import KernelDistance
from fedgan.metrics.pretrained.weights import WeightsFile, pretrained, to_rgb

_BATCH = 32  # images scored at once
_COMPARES_WITH = (
    "runs with the same real images and as many synthetic ones, not published FIDs or KIDs: "
    "measured class by class against the real test images, then averaged over classes"
)


class Inception:
    """Inception v3 of 2015, converted from TensorFlow, as ``torch_fidelity`` has it: 2048 features.

    Args:
        weights: torch_fidelity's state dict; None for its download.
        setting: what errors call ``weights``.
    """

    def __init__(self, *, weights: str | None, setting: str) -> None:
        self.weights, self.setting = weights, setting

    def fit(self, reference: Reference) -> "LoadedInception":
        """Load it; there is nothing to train.

        Raises:
            ValueError: if the file is not there or not this network's.
            Unavailable: without a file or a download.
        """
        model = pretrained(build_inception, setting=self.setting, weights=self.weights, url=URL_INCEPTION_V3)
        return LoadedInception(model.to(reference.device))


def build_inception(state: State) -> FeatureExtractorInceptionV3:
    """The network with these weights."""
    # torch_fidelity unpickles whatever the file contains. It gets a file written from what was read safely.
    file = BytesIO()
    torch.save(state, file)
    file.seek(0)
    with torch.random.fork_rng(devices=[]):
        return FeatureExtractorInceptionV3("inception", ["2048"], feature_extractor_weights_path=file)


class LoadedInception:
    """Inception, ready to look at images. ``facts`` has the hash of its weights, and what its metrics compare with."""

    def __init__(self, model: FeatureExtractorInceptionV3) -> None:
        self._model = model
        self.facts: dict[str, float | str] = {
            "inception_weights": state_hash(model.state_dict()),
            "inception_compares_with": _COMPARES_WITH,
        }

    @torch.inference_mode()
    def features(self, images: Tensor) -> Tensor:
        """uint8 (N, C, H, W) of any size to float64 (N, 2048), on the CPU; about three images a second on one core."""
        device = next(self._model.parameters()).device
        chunks = [self._model(to_rgb(chunk.to(device)))[0] for chunk in torch.split(images, _BATCH)]
        return torch.cat([chunk.double().cpu() for chunk in chunks])


@checked
class InceptionDistance(FeatureDistance):
    """A distance in Inception's features.

    Args:
        weights: of Inception: a file, or None for the download.
        seed: of the choice of real training images.
    """

    def __init__(self, *, weights: WeightsFile | None = None, seed: Seed = 0) -> None:
        super().__init__(classifier=Inception(weights=weights, setting=f"metrics.{self.names[0]}.weights"), seed=seed)

    @property
    def network(self) -> str:
        """The hash of Inception's weights."""
        return str(self._facts["inception_weights"])


class FID(InceptionDistance):
    """The Frechet Inception distance of each class (Heusel et al. 2017), at least 0; ``fid`` is the mean over classes.

    Not comparable with published FIDs, which take all classes together and 10,000 to 50,000 images. With the few real
    test images of a class it is far above 0 for a perfect generator too: the estimate is biased upwards, the more the
    fewer images there are (Binkowski et al. 2018). Compare it with its floor, and between runs on the same data with as
    many synthetic images.
    """

    names = ("fid",)
    distance = staticmethod(FrechetDistance.distance)


class KID(InceptionDistance):
    """The kernel Inception distance of each class (Binkowski et al. 2018), over all images at once; may be below 0.

    ``kid`` is the mean over classes; published KIDs take all classes together.
    """

    names = ("kid",)
    distance = staticmethod(KernelDistance.distance)
