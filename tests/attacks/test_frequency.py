"""FIBA: amplitudes by hand and against numpy's centered spectrum."""

import numpy as np
import pytest
import torch

from fedgan.attacks.frequency import ForeignAmplitudes, Frequency, mix_amplitudes
from tests.helpers.images import smooth_images


def level(value: float, size: int = 4) -> torch.Tensor:
    return torch.full((1, 1, size, size), value, dtype=torch.float64)


def test_constants_mix_by_hand() -> None:
    assert mix_amplitudes(level(100), level(200)[0], 0.15, 0).unique().tolist() == pytest.approx([115.0])


def test_with_the_mean_alone_in_the_window_brightness_moves_and_nothing_else() -> None:
    """A row of 0, 100, 0, 100 has mean 50: 0.85 of it and 0.15 of 200 make 72.5."""
    stripes = torch.tensor([0.0, 100.0, 0.0, 100.0], dtype=torch.float64).expand(1, 1, 4, 4)
    mixed = mix_amplitudes(stripes, level(200)[0], 0.15, 0)
    assert mixed[0, 0, 0].tolist() == pytest.approx([22.5, 122.5, 22.5, 122.5])


@pytest.mark.parametrize("channels", [1, 3])
def test_numpys_shifted_spectrum_gives_the_same(channels: int) -> None:
    images = smooth_images(5, channels).images
    trigger = Frequency(alpha=0.15, beta=0.1).trigger(channels, 32, seed=2)
    assert trigger.reach == 3
    centered = np.fft.fftshift(np.fft.fft2(images.numpy().astype(float)), axes=(-2, -1))
    foreign = np.abs(np.fft.fftshift(np.fft.fft2(trigger.foreign.numpy().astype(float)), axes=(-2, -1)))
    amplitude, phase, inside = np.abs(centered), np.angle(centered), slice(16 - 3, 16 + 4)
    amplitude[..., inside, inside] = 0.85 * amplitude[..., inside, inside] + 0.15 * foreign[..., inside, inside]
    back = np.fft.ifft2(np.fft.ifftshift(amplitude * np.exp(1j * phase), axes=(-2, -1)))
    assert np.abs(back.imag).max() < 1e-6, "the window is symmetric: nothing imaginary is left out"
    np.testing.assert_allclose(trigger.change(images.double()), back.real, atol=1e-9)
    expected = back.real.clip(0, 255)
    assert np.abs(trigger.apply(images).numpy() - expected).max() <= 0.5 + 1e-6


def test_more_colors_than_pixels_are_as_many() -> None:
    many, most = (Frequency(alpha=0.15, cells=cells).trigger(1, 16, seed=3).foreign for cells in (99, 16))
    assert torch.equal(many, most)
    assert len(most.unique()) > 100, "noise"


def test_amplitudes_are_taken_in_gray_levels() -> None:
    """In [-1, 1] the mean of a gray image is 0, and mixing its amplitude would move brightness otherwise."""
    gray, foreign = torch.full((1, 1, 8, 8), 128, dtype=torch.uint8), torch.full((1, 8, 8), 28, dtype=torch.uint8)
    assert ForeignAmplitudes(foreign, 0.5, 0).apply(gray).unique().tolist() == [78]


def test_below_one_over_beta_pixels_only_brightness_moves() -> None:
    trigger = Frequency(alpha=0.5, beta=0.1).trigger(1, 9, seed=0)
    images = smooth_images(4, size=9).images
    moved = trigger.apply(images).double() - images
    assert trigger.reach == 0
    assert float((moved.amax((1, 2, 3)) - moved.amin((1, 2, 3))).max()) <= 1, "but for rounding"


@pytest.mark.parametrize("settings", [{"alpha": 0}, {"alpha": 0.1, "beta": 0.5}, {"alpha": 0.1, "cells": 0}])
def test_refusals(settings: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="^(alpha|beta|cells) must be a"):
        Frequency(**settings)  # type: ignore[arg-type]
