"""StyleGAN2Generator against NVlabs' implementation, and the properties its parts promise.

`stylegan2_case.safetensors` has arrays only: random weights (under NVlabs' names), z, labels, and what the
`Generator` of NVlabs' stylegan2-ada-pytorch (z_dim 8, w_dim 16, 3 mapping layers, 32 x 32, channel_base 384,
channel_max 16) made of them with `noise_mode="const"`, next to the gradient of the mean squared pixel by z.
"""

import re
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor

from fedgan.models.stylegan2 import (
    EqualizedLinear,
    LowPass,
    StyledConv,
    StyleGAN2Generator,
    ToImage,
    demodulation,
    low_pass,
    modulated_conv,
    unit_rms,
    upsample,
)

CASE = Path(__file__).with_name("stylegan2_case.safetensors")


def our_name(name: str) -> str:
    """NVlabs' names to fedgan's: `synthesis.b8.torgb` is `blocks.1.to_image`, `mapping.fc0` is `mapping.layers.0`."""
    name = name.removeprefix("nvlabs.").removeprefix("synthesis.")
    name = re.sub(r"^b(\d+)\.", lambda m: f"blocks.{int(m[1]).bit_length() - 3}.", name)
    name = re.sub(r"^mapping\.fc", "mapping.layers.", name)
    return name.replace("torgb", "to_image").replace("blocks.0.const", "const")


def small(*, image_size: int = 32, channels: int = 3, num_classes: int = 2) -> StyleGAN2Generator:
    """A small generator with noise switched on, as it is after some training."""
    torch.manual_seed(0)
    generator = StyleGAN2Generator(
        num_classes=num_classes,
        channels=channels,
        image_size=image_size,
        z_dim=8,
        w_dim=16,
        mapping_layers=2,
        channel_base=256,
        channel_max=16,
    )
    for name, parameter in generator.named_parameters():
        if name.endswith("noise_strength"):
            torch.nn.init.constant_(parameter, 0.3)
    return generator


def inputs(batch: int = 4) -> tuple[Tensor, Tensor]:
    z = torch.randn(batch, 8, generator=torch.Generator().manual_seed(1))
    return z, torch.arange(batch) % 2


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_agrees_with_nvlabs() -> None:
    case = load_file(CASE)
    generator = StyleGAN2Generator(
        num_classes=2,
        channels=3,
        image_size=32,
        z_dim=8,
        w_dim=16,
        mapping_layers=3,
        channel_base=384,
        channel_max=16,
    )
    weights = {our_name(name): array for name, array in case.items() if name.startswith("nvlabs.")}
    shapes = {name: array.shape for name, array in generator.state_dict().items()}
    # Strict loading: every parameter and noise image has its counterpart. 1 x 1 kernels are matrices here.
    generator.load_state_dict({name: array.reshape(shapes[name]) for name, array in weights.items()})
    z = case["z"].requires_grad_()
    images = generator(z, case["labels"])
    (grad_z,) = torch.autograd.grad(images.square().mean(), z)
    assert (images - case["images"]).abs().max() < 1e-4
    assert (grad_z - case["grad_z"]).abs().max() < 1e-4 * case["grad_z"].abs().max()


@pytest.mark.parametrize("size", [32, 64, 128, 256])
@pytest.mark.parametrize("channels", [1, 3])
def test_every_size_makes_images(size: int, channels: int) -> None:
    with torch.no_grad():
        images = small(image_size=size, channels=channels)(*inputs(2))
    assert images.shape == (2, channels, size, size)
    assert images.dtype == torch.float32
    assert images.is_contiguous()
    assert images.isfinite().all()


@pytest.mark.parametrize("size", [16, 48, 512])
def test_other_sizes_are_refused(size: int) -> None:
    message = rf"^image_size must be a power of two from 32 to 256 \(dataset.image_size sets it\); got {size}$"
    with pytest.raises(ValueError, match=message):
        small(image_size=size)


def test_channel_base_too_small_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^channel_base must be at least dataset\.image_size=64.*; got 32"):
        StyleGAN2Generator(num_classes=2, channels=1, image_size=64, channel_base=32)


def test_paper_configuration_has_nvlabs_parameter_count() -> None:
    generator = StyleGAN2Generator(num_classes=2, channels=3, image_size=256)
    assert generator.z_dim == 64
    assert sum(p.numel() for p in generator.parameters()) == 24_731_426  # counted in NVlabs' Generator


def test_noise_follows_its_generator() -> None:
    generator, (z, labels) = small(), inputs()
    first, again, other = (generator(z, labels, generator.draw_noise(4, seeded(seed))) for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert (first - other).abs().max() > 1e-2
    assert (first - generator(z, labels)).abs().max() > 1e-2


def test_every_styled_convolution_has_its_noise() -> None:
    sizes = [(3, 1, size, size) for size in (4, 8, 8, 16, 16, 32, 32)]
    assert [noise.shape for noise in small().draw_noise(3, seeded(0))] == sizes


def test_noise_differs_between_samples_and_layers() -> None:
    generator, (z, labels) = small(), inputs(1)
    noise = generator.draw_noise(2, seeded(0))
    images = generator(z.expand(2, -1), labels.expand(2), noise)
    assert (images[0] - images[1]).abs().max() > 1e-2


@pytest.mark.parametrize("seed", [None, 0])
def test_forward_leaves_ambient_randomness_alone(seed: int | None) -> None:
    generator = small()
    before = torch.get_rng_state()
    generator(*inputs(), None if seed is None else generator.draw_noise(4, seeded(seed)))
    assert torch.equal(torch.get_rng_state(), before)


def test_image_does_not_depend_on_its_batch() -> None:
    generator, (z, labels) = small(), inputs(5)
    whole = generator(z, labels)
    # Not bit for bit: the matrix products may sum in another order for another batch size.
    torch.testing.assert_close(generator(z[3:4], labels[3:4]), whole[3:4], rtol=0, atol=1e-4)
    flipped = generator(z.flip(0), labels.flip(0)).flip(0)
    torch.testing.assert_close(flipped, whole, rtol=0, atol=1e-4)


def test_label_matters() -> None:
    generator, (z, _) = small(), inputs()
    benign, malignant = (generator(z, torch.full((4,), label)) for label in (0, 1))
    assert ((benign - malignant).abs().amax(dim=(1, 2, 3)) > 1e-2).all()


@pytest.mark.parametrize("seed", [None, 0])
def test_gradients_reach_every_parameter(seed: int | None) -> None:
    generator = small()
    noise = None if seed is None else generator.draw_noise(4, seeded(seed))
    generator(*inputs(), noise).square().mean().backward()
    dead = [n for n, p in generator.named_parameters() if p.grad is None or not p.grad.abs().max() > 0]
    assert dead == []


def test_demodulation_gives_unit_variance() -> None:
    x = torch.randn(4, 16, 64, 64, generator=seeded(0))
    weight = 3 * torch.randn(8, 16, 3, 3, generator=seeded(1))
    style = 5 * torch.rand(4, 16, generator=seeded(2))
    y = modulated_conv(x, weight, style, up=False) * demodulation(weight, style)[:, :, None, None]
    deviation = y[:, :, 1:-1, 1:-1].std(dim=(2, 3))  # (4, 8), without the border, where zeros enter
    assert (deviation - 1).abs().max() < 0.1


def test_modulation_scales_the_weights() -> None:
    x, weight = torch.randn(2, 5, 6, 6), torch.randn(4, 5, 3, 3)
    style = torch.randn(2, 5)
    expected = torch.stack([F.conv2d(x[b], weight * style[b, :, None, None], padding=1) for b in range(2)])
    torch.testing.assert_close(modulated_conv(x, weight, style, up=False), expected, rtol=0, atol=1e-4)


def test_upsampling_keeps_a_constant() -> None:
    y = upsample(torch.full((2, 3, 8, 8), 0.7))
    assert y.shape == (2, 3, 16, 16)
    torch.testing.assert_close(y[:, :, 1:-1, 1:-1], torch.full((2, 3, 14, 14), 0.7))


def test_upsampling_is_bilinear_inside() -> None:
    x = torch.randn(2, 3, 8, 8)
    expected = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
    torch.testing.assert_close(upsample(x)[:, :, 1:-1, 1:-1], expected[:, :, 1:-1, 1:-1], rtol=0, atol=1e-6)


def test_upsampling_convolution_filters_a_point() -> None:
    """One pixel through a kernel that is one at its center: the filter by itself, around 2i + 1/2."""
    x, weight = torch.zeros(1, 1, 5, 5), torch.zeros(1, 1, 3, 3)
    x[0, 0, 2, 2] = weight[0, 0, 1, 1] = 1
    y = modulated_conv(x, weight, torch.ones(1, 1), up=True)
    taps = torch.tensor([0, 0, 0, 1, 3, 3, 1, 0, 0, 0]) / 4
    torch.testing.assert_close(y[0, 0], torch.outer(taps, taps))


def test_the_low_pass_filter_of_a_gpu_is_that_of_a_cpu() -> None:
    """Its values, its own gradient, and both where several networks run as one."""
    x = torch.randn(3, 2, 4, 17, 9, dtype=torch.float64, requires_grad=True)
    each = torch.stack([low_pass(one) for one in x])
    together = torch.func.vmap(LowPass.apply)(x)
    torch.testing.assert_close(together, each)
    upstream = torch.randn_like(each)
    (expected,) = torch.autograd.grad(each, x, upstream)
    torch.testing.assert_close(torch.autograd.grad(together, x, upstream)[0], expected)
    assert torch.autograd.gradcheck(LowPass.apply, torch.randn(1, 1, 5, 6, dtype=torch.float64, requires_grad=True))


@pytest.mark.parametrize("channels", [1, 3])
def test_what_a_compiler_gets_as_sums_is_the_product(channels: int, monkeypatch: pytest.MonkeyPatch) -> None:
    layer = ToImage(in_channels=5, channels=channels, w_dim=4)
    x, w = torch.randn(2, 5, 6, 7, requires_grad=True), torch.randn(2, 4)
    product = layer(x, w)
    (by_product,) = torch.autograd.grad(product.square().sum(), x)
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    sums = layer(x, w)
    (by_sums,) = torch.autograd.grad(sums.square().sum(), x)
    torch.testing.assert_close(sums, product)
    torch.testing.assert_close(by_sums, by_product)


def test_the_maps_keep_their_type_under_autocast() -> None:
    """A float32 factor would make float32 of every map that follows, at twice the memory and time."""
    layer = StyledConv(in_channels=4, out_channels=4, w_dim=8, size=8, up=True)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        maps = layer(torch.randn(2, 4, 4, 4), torch.randn(2, 8), torch.randn(2, 1, 8, 8))
    assert maps.dtype is torch.bfloat16


@pytest.mark.parametrize("lr_multiplier", [1.0, 0.01])
def test_equalized_linear_scales_at_run_time(lr_multiplier: float) -> None:
    torch.manual_seed(0)
    layer = EqualizedLinear(in_features=400, out_features=300, lr_multiplier=lr_multiplier, bias_init=2.0)
    assert layer.weight.std().item() == pytest.approx(1 / lr_multiplier, rel=0.02)
    x = torch.randn(64, 400)
    expected = x @ layer.weight.T * (lr_multiplier / 20) + 2 * lr_multiplier
    torch.testing.assert_close(layer(x), expected, rtol=1e-4, atol=1e-4)
    assert layer(x).std().item() == pytest.approx(1, rel=0.05)  # unit variance in, unit variance out


def test_unit_rms_ignores_length() -> None:
    x = torch.randn(3, 8)
    torch.testing.assert_close(unit_rms(x).square().mean(dim=1), torch.ones(3))
    torch.testing.assert_close(unit_rms(7 * x), unit_rms(x))


def test_state_has_only_floating_point_arrays() -> None:
    """Federated averaging takes the mean of every entry; counters and filters have no place there."""
    state = small().state_dict()
    assert all(array.dtype == torch.float32 for array in state.values())
    extra = set(state) - {name for name, _ in small().named_parameters()}
    assert extra
    assert all(name.endswith("noise_const") for name in extra)
