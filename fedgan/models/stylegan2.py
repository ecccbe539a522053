"""StyleGAN2-ADA's class-conditional generator in plain PyTorch.

Karras et al. 2020, "Analyzing and Improving the Image Quality of StyleGAN" (arXiv 1912.04958, [A] below),
with the label input of "Training Generative Adversarial Networks with Limited Data" (arXiv 2006.06676, [B]).
Our own code; its numbers agree with NVlabs' public implementation (see `tests/models/test_stylegan2.py`).

Left out on purpose: truncation, and with it the moving average of w, a buffer that would drift apart between
clients; style mixing and path length regularization, which belong to NVlabs' training recipe; half precision.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from math import sqrt

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx

from fedgan.core.arguments import Channels, Count, checked
from fedgan.core.checks import check
from fedgan.models.base import Generator, ImageSize

LRELU_SLOPE = 0.2
LRELU_GAIN = sqrt(2)  # keeps the second moment near one after a leaky ReLU


def unit_rms(x: Tensor) -> Tensor:
    """Scale each row of `x` (B, D) to a mean square of one."""
    return x * (x.square().mean(dim=1, keepdim=True) + 1e-8).rsqrt()


def fir_kernel(like: Tensor) -> Tensor:
    """The low-pass filter [1, 3, 3, 1] as one 4 x 4 depthwise kernel (C, 1, 4, 4) for `like` (B, C, H, W).

    Its sum is four: zero insertion, which it always follows, leaves a quarter of the signal.

    Example:
        >>> fir_kernel(torch.empty(1, 1, 8, 8)).sum(dim=2)
        tensor([[[0.5000, 1.5000, 1.5000, 0.5000]]])
    """
    # From arange, so on the device: a literal list would be copied from the host in every layer and step.
    taps = (4 - (2 * torch.arange(4, device=like.device, dtype=like.dtype) - 3).abs()) / 4
    return torch.outer(taps, taps).expand(like.shape[1], 1, 4, 4)


def upsample(x: Tensor) -> Tensor:
    """Double the size of `x` (B, C, H, W): zero insertion, then the FIR filter; outside the image are zeros.

    Example:
        >>> upsample(torch.ones(1, 1, 3, 3))[0, 0, 2]
        tensor([0.7500, 1.0000, 1.0000, 1.0000, 1.0000, 0.7500])
    """
    return F.conv_transpose2d(x, fir_kernel(x), stride=2, padding=1, groups=x.shape[1])


class LowPass(torch.autograd.Function):
    """The low-pass filter of `fir_kernel` on x (B, C, H, W), zeros outside the image, to (B, C, H - 1, W - 1).

    As sums of neighbors, which a compiler merges with what comes before and after. Its own gradient, the same
    filter, because that of the sums would be written to memory slice by slice.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor) -> Tensor:
        return neighbors(F.pad(x, (1, 1, 1, 1)))

    @staticmethod
    def setup_context(ctx: FunctionCtx, inputs: tuple[Tensor], output: Tensor) -> None:
        """Nothing of `x` is needed for the gradient."""

    @staticmethod
    def backward(ctx: FunctionCtx, gradient: Tensor) -> Tensor:
        return neighbors(F.pad(gradient, (2, 2, 2, 2)))


def neighbors(x: Tensor) -> Tensor:
    """Sums of 4 x 4 pixels weighted by [1, 3, 3, 1] / 4 in both directions: (B, C, H, W) to (B, C, H - 3, W - 3)."""
    height, width = x.shape[2] - 3, x.shape[3] - 3
    above, below, outer = x[:, :, 1 : height + 1], x[:, :, 2 : height + 2], x[:, :, :height] + x[:, :, 3:]
    x = (outer + 3 * (above + below)) / 4
    left, right, outer = x[..., 1 : width + 1], x[..., 2 : width + 2], x[..., :width] + x[..., 3:]
    return (outer + 3 * (left + right)) / 4


def low_pass(x: Tensor) -> Tensor:
    """Filter `x` (B, C, H, W) by `fir_kernel`, zeros outside the image: (B, C, H - 1, W - 1).

    Example:
        >>> low_pass(torch.ones(1, 1, 4, 5))[0, 0, 1]
        tensor([3.5000, 4.0000, 4.0000, 3.5000])
    """
    if x.device.type == "cuda":  # cuDNN's filter of single maps took half of a whole training step there
        filtered: Tensor = LowPass.apply(x)
        return filtered
    return F.conv2d(x, fir_kernel(x), padding=1, groups=x.shape[1])


def demodulation(weight: Tensor, style: Tensor) -> Tensor:
    """Factors (B, O) that bring each output map back to unit variance for unit-variance input ([A], Eq. 3).

    `weight` is (O, I, k, k), `style` (B, I). The sum over the kernel is the same for all samples, so it is
    taken first and no modulated weight per sample is ever built.
    """
    return (style.square() @ weight.square().sum(dim=(2, 3)).t() + 1e-8).rsqrt()


def modulated_conv(x: Tensor, weight: Tensor, style: Tensor, *, up: bool) -> Tensor:
    """Convolve `x` (B, I, H, W) with `weight` (O, I, 3, 3) modulated by `style` (B, I) ([A], Eq. 1).

    Scaling the input maps equals scaling the weights, and lets the batch share one convolution. With `up` the
    size doubles: a transposed convolution of stride two to 2H + 1, then the FIR filter. Not yet demodulated.
    """
    x = x * style[:, :, None, None]
    if not up:
        return F.conv2d(x, weight, padding=1)
    return low_pass(F.conv_transpose2d(x, weight.transpose(0, 1), stride=2))


class EqualizedLinear(nn.Module):
    """Linear layer, (B, in) to (B, out), with an equalized learning rate.

    The stored weight has standard deviation 1 / `lr_multiplier` and is scaled at run time, so that under Adam
    a layer learns `lr_multiplier` times as fast as the others, whatever its fan-in.
    """

    def __init__(
        self, *, in_features: int, out_features: int, lr_multiplier: float = 1.0, bias_init: float = 0.0
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out_features, in_features) / lr_multiplier)
        self.bias = nn.Parameter(torch.full((out_features,), bias_init))
        self.weight_gain = lr_multiplier / sqrt(in_features)
        self.bias_gain = lr_multiplier

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight * self.weight_gain, self.bias * self.bias_gain)


class Mapping(nn.Module):
    """Mapping network f: (z, label) to w ([A], section 1; the label enters as in [B]).

    z (B, z_dim) and the label's embedding (B, w_dim) are each scaled to a mean square of one and joined.
    """

    def __init__(self, *, num_classes: int, z_dim: int, w_dim: int, num_layers: int) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.embed = EqualizedLinear(in_features=num_classes, out_features=w_dim)
        widths = [z_dim + w_dim] + [w_dim] * num_layers
        self.layers = nn.ModuleList(
            EqualizedLinear(in_features=i, out_features=o, lr_multiplier=0.01) for i, o in pairwise(widths)
        )

    def forward(self, z: Tensor, labels: Tensor) -> Tensor:
        label = self.embed(F.one_hot(labels, self.num_classes).to(z.dtype))
        x = torch.cat([unit_rms(z), unit_rms(label)], dim=1)
        for layer in self.layers:
            x = F.leaky_relu(layer(x), LRELU_SLOPE) * LRELU_GAIN
        return x


class StyledConv(nn.Module):
    """Modulated 3 x 3 convolution, demodulation, noise, bias and leaky ReLU ([A], figure 2d).

    Maps (B, I, H, W), w (B, w_dim) and a noise image that all maps share, (B, 1, size, size) or (size, size), to
    (B, O, size, size), where `size` is H, or 2H with `up`.
    """

    noise_const: Tensor

    def __init__(self, *, in_channels: int, out_channels: int, w_dim: int, size: int, up: bool) -> None:
        super().__init__()
        self.up = up
        self.affine = EqualizedLinear(in_features=w_dim, out_features=in_channels, bias_init=1.0)
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, 3, 3))
        self.bias = nn.Parameter(torch.zeros(out_channels))
        self.noise_strength = nn.Parameter(torch.zeros(()))
        self.register_buffer("noise_const", torch.randn(size, size))

    def forward(self, x: Tensor, w: Tensor, noise: Tensor) -> Tensor:
        style = self.affine(w)
        x = modulated_conv(x, self.weight, style, up=self.up)
        # A leaky ReLU commutes with a positive factor: its gain is applied to small tensors, not on the maps.
        # In the maps' own type: under autocast one float32 factor would make float32 of all that follows.
        gain = (demodulation(self.weight, style) * LRELU_GAIN).to(x.dtype)
        bias = (self.bias * LRELU_GAIN).to(x.dtype)
        x = torch.addcmul(bias[:, None, None], x, gain[:, :, None, None])
        x = x.add_((noise * (self.noise_strength * LRELU_GAIN)).to(x.dtype))
        return F.leaky_relu(x, LRELU_SLOPE, inplace=True)


class ToImage(nn.Module):
    """Modulated 1 x 1 convolution to image channels, without demodulation ("tRGB" in [A], figure 7b).

    Maps (B, I, H, W) and w (B, w_dim) to (B, C, H, W).
    """

    def __init__(self, *, in_channels: int, channels: int, w_dim: int) -> None:
        super().__init__()
        self.affine = EqualizedLinear(in_features=w_dim, out_features=in_channels, bias_init=1.0)
        self.weight = nn.Parameter(torch.randn(channels, in_channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.weight_gain = 1 / sqrt(in_channels)

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        # Few outputs: a weight per sample (B, C, I) is cheaper than a scaled copy of the activations.
        weight = self.weight * (self.affine(w) * self.weight_gain)[:, None, :]
        if torch.compiler.is_compiling():
            # As sums, which a compiler merges with the layer before; a product would read and write all maps again.
            weight = weight.to(x.dtype)[..., None, None]
            return torch.stack([(x * each).sum(1) for each in weight.unbind(1)], 1) + self.bias[:, None, None]
        return torch.einsum("bchw,boc->bohw", x, weight) + self.bias[:, None, None]


class Block(nn.Module):
    """The layers of one resolution: an up-sampling convolution, a second one, and the image skip connection.

    The 4 x 4 block (`in_channels` None) has no up-sampling convolution and no image to add to.
    """

    def __init__(self, *, in_channels: int | None, out_channels: int, channels: int, w_dim: int, size: int) -> None:
        super().__init__()
        self.conv0 = (
            StyledConv(in_channels=in_channels, out_channels=out_channels, w_dim=w_dim, size=size, up=True)
            if in_channels is not None
            else None
        )
        self.conv1 = StyledConv(in_channels=out_channels, out_channels=out_channels, w_dim=w_dim, size=size, up=False)
        self.to_image = ToImage(in_channels=out_channels, channels=channels, w_dim=w_dim)

    def forward(self, x: Tensor, image: Tensor | None, w: Tensor, noise: Iterator[Tensor]) -> tuple[Tensor, Tensor]:
        if self.conv0 is not None:
            x = self.conv0(x, w, next(noise))
        x = self.conv1(x, w, next(noise))
        y = self.to_image(x, w)
        return x, y if image is None else upsample(image) + y


@checked
class StyleGAN2Generator(Generator):
    """G(z, y) of StyleGAN2-ADA with skip connections to the image ([A], figure 7b; [B]).

    Args:
        num_classes: number of classes of the label y.
        channels: image channels, 1 for gray and 3 for RGB.
        image_size: height and width in px, a power of two from 32 to 256.
        z_dim: length of the latent z, drawn from N(0, I).
        w_dim: length of the intermediate latent w.
        mapping_layers: depth of the mapping network.
        channel_base: a block of size r px has min(channel_base // r, channel_max) feature maps.
        channel_max: see `channel_base`.

    Raises:
        ValueError: for another `image_size`, a `channel_base` that leaves the last block without maps, or a
            number below 1.

    Example:
        >>> generator = StyleGAN2Generator(num_classes=2, channels=3, image_size=32, channel_base=256)
        >>> z, labels = torch.randn(4, generator.z_dim), torch.tensor([0, 1, 0, 1])
        >>> generator(z, labels, generator.draw_noise(4, torch.Generator().manual_seed(0))).shape
        torch.Size([4, 3, 32, 32])
    """

    def __init__(
        self,
        *,
        num_classes: Count,
        channels: Channels,
        image_size: ImageSize,
        z_dim: Count = 64,
        w_dim: Count = 128,
        mapping_layers: Count = 8,
        channel_base: Count = 32768,
        channel_max: Count = 512,
    ) -> None:
        super().__init__()
        allowed = f"at least dataset.image_size={image_size}, or the last block would have no maps"
        check(channel_base >= image_size, "channel_base", allowed, channel_base)
        self.z_dim = z_dim
        self.mapping = Mapping(num_classes=num_classes, z_dim=z_dim, w_dim=w_dim, num_layers=mapping_layers)
        sizes = [2**i for i in range(2, image_size.bit_length())]  # 4, 8, ..., image_size
        widths = [min(channel_base // size, channel_max) for size in sizes]
        self.const = nn.Parameter(torch.randn(widths[0], 4, 4))
        self.blocks = nn.ModuleList(
            Block(in_channels=i, out_channels=o, channels=channels, w_dim=w_dim, size=size)
            for i, o, size in zip([None, *widths[:-1]], widths, sizes, strict=True)
        )

    def draw_noise(self, batch_size: int, rng: torch.Generator) -> list[Tensor]:
        """One noise image per sample and styled convolution: (B, 1, size, size), in the order of the layers."""
        about = [(image.shape, image.device) for image in self._stored_noise()]
        return [torch.randn(batch_size, 1, *shape, generator=rng, device=device) for shape, device in about]

    def forward(self, z: Tensor, labels: Tensor, noise: Sequence[Tensor] | None = None) -> Tensor:
        """Images (B, C, H, W) for latents `z` (B, z_dim) and int64 `labels` (B,) in [0, num_classes).

        The output is unbounded, as in StyleGAN2; nominally it is in [-1, 1]. Without the `noise` of
        `draw_noise` (training) the stored noise is used (sampling), and an image depends on its z and label alone.
        """
        w = self.mapping(z, labels)
        # Channels last carries through all blocks; it makes the FIR filter several times as fast on a CPU.
        # Permuted, because vmap knows no memory formats.
        x = self.const.permute(1, 2, 0).expand(z.shape[0], -1, -1, -1).contiguous().permute(0, 3, 1, 2)
        image: Tensor | None = None
        images = iter(self._stored_noise() if noise is None else noise)
        for block in self.blocks:
            x, image = block(x, image, w, images)
        assert image is not None
        return image.contiguous()

    def _stored_noise(self) -> list[Tensor]:
        return list(self.buffers())  # in the order of the layers; there are no others
