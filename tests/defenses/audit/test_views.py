import numpy as np
import pytest
import torch

from fedgan.defenses.audit.views import LARGEST, classes, place, reduced, spectrum


def drawn(shape: tuple[int, ...] = (2, 3, 1, 8, 8)) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(0)) * 2 - 1


def test_place_is_the_mean_of_all_images() -> None:
    images = drawn()
    np.testing.assert_allclose(place(images), images.reshape(6, 1, 8, 8).numpy().mean(axis=0), rtol=1e-6)


def test_classes_are_apart_from_their_mean() -> None:
    images = drawn((3, 4, 2, 8, 8))
    means = images.numpy().astype(np.float64).mean(axis=1)
    expected = (means - means.mean(axis=0))[:2].reshape(4, 8, 8)
    np.testing.assert_allclose(classes(images), expected, atol=1e-6)
    assert not classes(drawn((1, 4, 2, 8, 8))).any(), "one class has nothing to differ from"


def test_flipped_labels_turn_the_classes_around_and_leave_the_place() -> None:
    images = drawn()
    np.testing.assert_allclose(classes(images.flip(0)), -classes(images), atol=1e-6)
    np.testing.assert_allclose(place(images.flip(0)), place(images), atol=1e-6)


def test_a_wave_stands_out_at_its_frequency() -> None:
    """Two cycles across the columns: row 0 is in the middle, row 4 of 8."""
    wave = torch.cos(2 * torch.pi * 2 * torch.arange(8) / 8).expand(8, 8)
    apart = spectrum(drawn() + 0.5 * wave) - spectrum(drawn())
    assert apart.shape == (1, 8, 3)
    assert np.unravel_index(apart[0].argmax(), (8, 3)) == (4, 1)
    assert np.abs(np.delete(apart.ravel(), apart.argmax())).max() < 1e-4


def test_numpys_transform_agrees() -> None:
    images = drawn((2, 3, 3, 16, 16))
    amplitude = np.log(np.abs(np.fft.rfft2(images.numpy()))).mean(axis=(0, 1))
    np.testing.assert_allclose(spectrum(images), np.fft.fftshift(amplitude, axes=-2)[..., 1:8], atol=1e-4)


@pytest.mark.parametrize(("size", "expected"), [(32, 32), (64, 64), (256, 64)])
def test_large_images_are_averaged_down(size: int, expected: int) -> None:
    images = drawn((2, 1, size, size))
    small = reduced(images)
    assert small.shape[-1] == expected <= LARGEST
    step = size // expected
    assert small[0, 0, 0, 0] == pytest.approx(images[0, 0, :step, :step].mean().item(), abs=1e-6)
