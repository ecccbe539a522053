"""DCGAN against the paper's layers (first code) and the promises of its docstrings."""

import pytest
import torch
from torch import Tensor, nn

from fedgan.models.dcgan import DCGANDiscriminator, DCGANGenerator, PixelNorm

LABELS = torch.tensor([0, 1, 1])


def small_generator(image_size: int = 32, channels: int = 1, norm: str = "batch") -> DCGANGenerator:
    torch.manual_seed(0)
    return DCGANGenerator(num_classes=2, channels=channels, image_size=image_size, z_dim=8, base_channels=4, norm=norm)


def small_discriminator(image_size: int = 32, channels: int = 1, norm: str = "batch") -> DCGANDiscriminator:
    torch.manual_seed(0)
    return DCGANDiscriminator(num_classes=2, channels=channels, image_size=image_size, base_channels=4, norm=norm)


def latents() -> Tensor:
    return torch.randn(3, 8, generator=torch.Generator().manual_seed(1))


def test_discriminator_has_the_papers_layers_at_256_px() -> None:
    with torch.device("meta"):  # 44 million weights that nobody needs to draw
        layers = list(DCGANDiscriminator(num_classes=2, channels=3, image_size=256).layers)
    convolutions = [layer for layer in layers if isinstance(layer, nn.Conv2d)]
    assert [c.out_channels for c in convolutions] == [64, 128, 256, 512, 1024, 2048, 2]
    assert [c.in_channels for c in convolutions] == [3, 64, 128, 256, 512, 1024, 2048]
    assert all(c.kernel_size == (4, 4) for c in convolutions)
    assert all((c.stride, c.padding) == ((2, 2), (1, 1)) for c in convolutions[:-1])
    assert (convolutions[-1].stride, convolutions[-1].padding) == ((1, 1), (0, 0))
    kinds = [type(layer) for layer in layers]
    block = [nn.Conv2d, nn.BatchNorm2d, nn.LeakyReLU]
    assert kinds == [
        nn.Conv2d,
        nn.LeakyReLU,
        *block * 5,
        nn.Conv2d,
    ]  # no BatchNorm in the first, logits at the end
    assert {layer.negative_slope for layer in layers if isinstance(layer, nn.LeakyReLU)} == {0.2}


@pytest.mark.parametrize("image_size", [32, 64, 128, 256])
@pytest.mark.parametrize("channels", [1, 3])
def test_shapes_and_range(image_size: int, channels: int) -> None:
    images = small_generator(image_size, channels)(latents(), LABELS)
    assert images.shape == (3, channels, image_size, image_size)
    assert images.abs().max() <= 1
    assert small_discriminator(image_size, channels)(images, LABELS).shape == (3,)


@pytest.mark.parametrize("image_size", [16, 48, 512, 0])
@pytest.mark.parametrize("network", [DCGANGenerator, DCGANDiscriminator])
def test_other_sizes_are_refused_in_one_line(network: type[nn.Module], image_size: int) -> None:
    message = rf"^image_size must be a power of two from 32 to 256 \(dataset.image_size sets it\); got {image_size}$"
    with pytest.raises(ValueError, match=message):
        network(num_classes=2, channels=1, image_size=image_size)


def test_unknown_norm_is_refused() -> None:
    with pytest.raises(ValueError, match="^norm must be one of batch, instance, pixel; got 'bath'"):
        small_discriminator(norm="bath")


@pytest.mark.parametrize("norm", ["batch", "instance", "pixel"])
def test_labels_matter_to_both(norm: str) -> None:
    generator, discriminator = small_generator(norm=norm), small_discriminator(norm=norm)
    assert not torch.equal(generator(latents(), LABELS), generator(latents(), 1 - LABELS))
    images = torch.rand(3, 1, 32, 32, generator=torch.Generator().manual_seed(2))
    assert (discriminator(images, LABELS) != discriminator(images, 1 - LABELS)).all()


@pytest.mark.parametrize("norm", ["batch", "instance", "pixel"])
def test_gradient_reaches_every_parameter_of_both(norm: str) -> None:
    generator, discriminator = small_generator(norm=norm), small_discriminator(norm=norm)
    discriminator(generator(latents(), LABELS), LABELS).sum().backward()
    for name, parameter in [*generator.named_parameters(), *discriminator.named_parameters()]:
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in generator.parameters())


def test_initialization_is_dcgans() -> None:
    torch.manual_seed(0)
    discriminator = DCGANDiscriminator(num_classes=2, channels=1, image_size=64)
    convolutions = [layer for layer in discriminator.layers if isinstance(layer, nn.Conv2d)]
    for convolution in convolutions[1:-1]:
        assert convolution.weight.std().item() == pytest.approx(0.02, rel=0.02)
        assert abs(convolution.weight.mean().item()) < 2e-4
    norms = [layer for layer in discriminator.layers if isinstance(layer, nn.BatchNorm2d)]
    assert all(norm.weight.mean().item() == pytest.approx(1.0, abs=0.01) for norm in norms)


def test_pixel_norm_against_its_formula() -> None:
    x = torch.randn(2, 5, 3, 3, generator=torch.Generator().manual_seed(0))
    expected = x / x.pow(2).sum(1, keepdim=True).div(5).sqrt()
    torch.testing.assert_close(PixelNorm()(x), expected)


def test_pixel_norm_generator_draws_each_image_by_itself() -> None:
    """Neither the rest of the batch nor train/eval changes a sample, and no buffers need averaging."""
    generator = small_generator(norm="pixel")
    together = generator(latents(), LABELS)
    alone = generator.eval()(latents()[:1], LABELS[:1])
    torch.testing.assert_close(together[:1], alone)
    assert list(generator.buffers()) == []


def test_weights_follow_the_seed() -> None:
    first, second = small_generator().state_dict(), small_generator().state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_compiled_the_generator_draws_the_same() -> None:
    generator = DCGANGenerator(num_classes=2, channels=1, image_size=32, z_dim=8, base_channels=4)
    z, labels = torch.randn(5, 8), torch.tensor([0, 1, 0, 1, 1])
    expected = generator(z, labels)
    expected.sum().backward()
    gradients = [parameter.grad for parameter in generator.parameters()]
    generator.zero_grad()
    images = torch.compile(generator, backend="aot_eager")(z, labels)
    torch.testing.assert_close(images, expected)
    images.sum().backward()
    torch.testing.assert_close([parameter.grad for parameter in generator.parameters()], gradients)
