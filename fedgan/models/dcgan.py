"""Conditional DCGAN: the paper's discriminator, and a small generator for runs without an accelerator.

Radford et al. 2016 (DCGAN), Mirza & Osindero 2014 (conditional GAN), Miyato & Koyama 2018 (projection).
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn

from fedgan.core.arguments import Channels, Count, checked
from fedgan.models.base import Generator, ImageSize

Norm = Literal["batch", "instance", "pixel"]


def _num_halvings(image_size: int) -> int:
    """How many stride-2 layers are between ``image_size`` and 4 x 4."""
    return image_size.bit_length() - 3


def _init_dcgan(module: nn.Module) -> None:
    """DCGAN's initialization: weights from N(0, 0.02), normalization gains from N(1, 0.02), no offset."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
        nn.init.normal_(module.weight, 0.0, 0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, nn.BatchNorm2d | nn.InstanceNorm2d):
        nn.init.normal_(module.weight, 1.0, 0.02)
        nn.init.zeros_(module.bias)


class PixelNorm(nn.Module):
    """Each pixel's feature vector, scaled to unit mean square (Karras et al. 2018, ProGAN, Section 4.2).

    It keeps no statistics, so nothing is lost when clients' generators are averaged, an image does not depend
    on the others of its batch, and training and evaluation draw the same images.

    Example:
        >>> PixelNorm()(torch.tensor([3.0, 4.0]).view(1, 2, 1, 1)).square().mean().item()
        1.0
    """

    def forward(self, x: Tensor) -> Tensor:
        """Scale ``x``, (B, C, H, W), over C."""
        return x * x.square().mean(dim=1, keepdim=True).add(1e-8).rsqrt()


def _norm(name: Norm, channels: int) -> nn.Module:
    if name == "batch":
        return nn.BatchNorm2d(channels)
    if name == "instance":
        return nn.InstanceNorm2d(channels, affine=True)
    return PixelNorm()


@checked
class DCGANGenerator(Generator):
    """G(z, y): the label's embedding joins z, then 4x4 stride-2 transposed convolutions up to the image.

    Args:
        num_classes: number of labels y.
        channels: 1 (gray) or 3 (RGB).
        image_size: 32, 64, 128 or 256.
        z_dim: dimension of z.
        base_channels: channels of the last hidden layer; they double towards the 4 x 4 end.
        norm: batch (DCGAN's), instance or pixel.

    Raises:
        ValueError: for another ``image_size`` or ``norm``, or a width below 1.

    Example:
        >>> generator = DCGANGenerator(num_classes=2, channels=1, image_size=32, z_dim=8, base_channels=4)
        >>> generator(torch.randn(5, 8), torch.tensor([0, 1, 0, 1, 1])).shape
        torch.Size([5, 1, 32, 32])
    """

    def __init__(
        self,
        *,
        num_classes: Count,
        channels: Channels,
        image_size: ImageSize,
        z_dim: Count = 64,
        base_channels: Count = 64,
        norm: Norm = "batch",
    ) -> None:
        super().__init__()
        self.z_dim = z_dim
        widths = [base_channels << i for i in reversed(range(_num_halvings(image_size)))]
        self.label = nn.Embedding(num_classes, z_dim)
        offset = norm == "pixel"  # the other norms bring their own
        layers: list[nn.Module] = [nn.ConvTranspose2d(2 * z_dim, widths[0], 4, bias=False)]
        for before, after in pairwise(widths):
            layers += [_norm(norm, before), nn.ReLU()]
            layers += [nn.ConvTranspose2d(before, after, 4, stride=2, padding=1, bias=offset)]
        layers += [_norm(norm, widths[-1]), nn.ReLU()]
        layers += [nn.ConvTranspose2d(widths[-1], channels, 4, stride=2, padding=1), nn.Tanh()]
        self.layers = nn.Sequential(*layers)
        self.apply(_init_dcgan)

    def forward(self, z: Tensor, labels: Tensor, noise: Sequence[Tensor] | None = None) -> Tensor:
        """Images in [-1, 1], (B, C, H, W), from ``z``, (B, z_dim), and ``labels``, (B,).

        ``noise`` is for generators that have noise inputs; this one has none.
        """
        code = torch.cat([z, self.label(labels)], dim=1)  # (B, 2 z_dim)
        if torch.compiler.is_compiling():
            # The first layer as a product: of images of one pixel the compiler expects another memory format of the
            # gradient than cuDNN gives.
            first: Tensor = self.layers[0].get_parameter("weight")
            images: Tensor = self.layers[1:]((code @ first.flatten(1)).view(-1, *first.shape[1:]))
        else:
            images = self.layers(code[:, :, None, None])
        return images


@checked
class DCGANDiscriminator(nn.Module):
    """D(x, y): 4x4 stride-2 convolutions down to 4 x 4, then a last 4x4 convolution to one logit per class.

    The label picks the logit: a projection discriminator, logit = <w_y, h>, h being the 4 x 4 features. The
    paper's layers stay as they are, and no normalization can wash the label out, as it can label planes.

    Args:
        num_classes: number of labels y.
        channels: 1 (gray) or 3 (RGB).
        image_size: 32, 64, 128 or 256.
        base_channels: channels of the first layer; they double with each halving (64 to 2048 at 256 px).
        norm: from the second layer on: batch (the paper's), instance (for WGAN-GP) or pixel.

    Raises:
        ValueError: for another ``image_size`` or ``norm``.

    Example:
        >>> discriminator = DCGANDiscriminator(num_classes=2, channels=1, image_size=32, base_channels=4)
        >>> discriminator(torch.zeros(5, 1, 32, 32), torch.tensor([0, 1, 0, 1, 1])).shape
        torch.Size([5])
    """

    def __init__(
        self,
        *,
        num_classes: Count,
        channels: Channels,
        image_size: ImageSize,
        base_channels: Count = 64,
        norm: Norm = "batch",
    ) -> None:
        super().__init__()
        widths = [base_channels << i for i in range(_num_halvings(image_size))]
        offset = norm == "pixel"  # the other norms bring their own
        layers: list[nn.Module] = [nn.Conv2d(channels, widths[0], 4, stride=2, padding=1), nn.LeakyReLU(0.2)]
        for before, after in pairwise(widths):
            layers += [nn.Conv2d(before, after, 4, stride=2, padding=1, bias=offset)]
            layers += [_norm(norm, after), nn.LeakyReLU(0.2)]
        layers += [nn.Conv2d(widths[-1], num_classes, 4)]
        self.layers = nn.Sequential(*layers)
        self.apply(_init_dcgan)

    def forward(self, images: Tensor, labels: Tensor) -> Tensor:
        """Logits, (B,), of "real", for ``images`` in [-1, 1], (B, C, H, W), and ``labels``, (B,)."""
        per_class = self.layers(images).flatten(1)  # (B, num_classes)
        logits: Tensor = per_class.gather(1, labels[:, None]).squeeze(1)
        return logits
