"""SIG: the wave by hand and by FFT."""

import numpy as np
import pytest
import torch

from fedgan.attacks.sinusoidal import Sinusoidal, Wave, wave


def test_one_cycle_over_eight_pixels_by_hand() -> None:
    gray = torch.full((2, 3, 8, 8), 100, dtype=torch.uint8)
    rows = Wave(amplitude=20, cycles=1).apply(gray).reshape(-1, 8).unique(dim=0)
    assert rows.tolist() == [[100, 114, 120, 114, 100, 86, 80, 86]], "the same in all rows, channels and images"


def test_numpys_sine_agrees_in_double_precision() -> None:
    expected = 20.0 * np.sin(2 * np.pi * 6 * np.arange(100) / 100)
    np.testing.assert_allclose(wave(100, amplitude=20.0, cycles=6), expected, atol=1e-12)


def test_the_wave_goes_across_and_not_down() -> None:
    """Of an image twice as wide as high too."""
    change = Wave(amplitude=20.0, cycles=1).change(torch.zeros(1, 1, 4, 8, dtype=torch.float64))
    assert change[0, 0].round().int().tolist() == [[0, 14, 20, 14, 0, -14, -20, -14]] * 4


def test_all_the_power_is_at_f_cycles_across() -> None:
    gray = torch.full((1, 1, 32, 32), 128, dtype=torch.uint8)
    change = Sinusoidal(amplitude=20.0, cycles=6).trigger(1, 32, 0).apply(gray)[0, 0].double().numpy() - 128
    power = np.abs(np.fft.fft2(change)) ** 2
    assert (power[0, 6] + power[0, -6]) / power.sum() > 0.998, "the rest is rounding"
    assert 2 * np.sqrt(power[0, 6]) / 32**2 == pytest.approx(20, abs=0.3)


def test_what_leaves_the_range_is_cut_off() -> None:
    for level, end in ((250, 255), (5, 0)):
        changed = Wave(amplitude=20, cycles=1).apply(torch.full((1, 1, 8, 8), level, dtype=torch.uint8))
        assert end in changed.flatten().tolist()
        assert abs(int(changed.double().mean()) - level) < 10, "no wrap-around"


@pytest.mark.parametrize(("cycles", "fits"), [(15, True), (16, False), (20, False)])
def test_the_wave_stays_under_nyquist(cycles: int, fits: bool) -> None:
    attack = Sinusoidal(amplitude=20.0, cycles=cycles)
    if fits:
        attack.trigger(1, 32, 0)
    else:
        with pytest.raises(ValueError, match=f"^cycles must be less than half of dataset.image_size=32; got {cycles}$"):
            attack.trigger(1, 32, 0)


def test_in_words() -> None:
    assert str(Sinusoidal(amplitude=20, cycles=6)) == "a wave of 6 cycles and 20 gray levels"
