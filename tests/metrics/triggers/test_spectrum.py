"""Spectrum emission: a wave's amplitude against numpy's FFT."""

import numpy as np
import pytest
import torch

from fedgan.attacks.blended import Blended
from fedgan.attacks.sinusoidal import Sinusoidal
from fedgan.metrics.base import Unavailable
from fedgan.metrics.triggers.spectrum import SpectrumRate, wave_amplitudes, wave_of
from fedgan.metrics.triggers.template import mean_change
from tests.helpers.images import random_images, smooth_images, with_images
from tests.helpers.metrics import reference


@pytest.mark.parametrize("frequency", [(0, 6), (2, 3), (30, 1)])
def test_amplitudes_are_those_of_the_fft(frequency: tuple[int, int]) -> None:
    images = random_images(5, channels=3).images.numpy().astype(float)
    u, v = frequency
    expected = (2 * np.abs(np.fft.fft2(images))[..., u, v] / 1024).mean(axis=1)
    assert wave_amplitudes(images, frequency) == pytest.approx(expected)


@pytest.mark.parametrize("cycles", [1, 6, 15])
def test_the_frequency_is_read_from_what_the_trigger_does(cycles: int) -> None:
    trigger = Sinusoidal(amplitude=10.0, cycles=cycles).trigger(1, 32, 0)
    (u, v), share = wave_of(mean_change(trigger, smooth_images(20).images))
    assert u == 0
    assert v in (cycles, 32 - cycles)
    assert share > 0.9


def test_a_slanted_wave_has_all_the_power_in_its_two_frequencies() -> None:
    rows, columns = np.mgrid[:32, :32]
    change = 7.0 + np.sin(2 * np.pi * (2 * rows + 3 * columns) / 32)[None]
    frequency, share = wave_of(change)
    assert frequency in ((2, 3), (30, 29))
    assert share == pytest.approx(1.0), "the mean does not count"


def test_none_all_and_the_amplitude_in_gray_levels() -> None:
    trigger, metric, clean = Sinusoidal(amplitude=20.0, cycles=6).trigger(1, 32, 0), SpectrumRate(), smooth_images(100)
    metric.prepare(reference(smooth_images(300, seed=1), smooth_images(200, seed=2), trigger))
    assert metric.facts()["spectrum_emission_power"] == 1.0
    poisoned = metric.compute(with_images(clean, trigger.apply(clean.images)))
    assert poisoned["spectrum_emission"] == 1.0
    assert poisoned["wave_amplitude"] == pytest.approx(20.0, abs=1.0)
    assert metric.compute(clean)["spectrum_emission"] <= 0.05
    moved = with_images(clean, torch.roll(trigger.apply(clean.images), 2, dims=-1))
    assert metric.compute(moved)["spectrum_emission"] == 1.0, "of any phase"


def test_a_trigger_that_is_no_wave_is_refused_with_the_metric_to_choose() -> None:
    trigger = Blended(alpha=0.2, cells=16).trigger(1, 32, 0)
    with pytest.raises(Unavailable, match=r"^the trigger is no wave: choose metrics=\[template\]$"):
        SpectrumRate().prepare(reference(smooth_images(20), smooth_images(20, seed=1), trigger))
