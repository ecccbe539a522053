import numpy as np
import pytest
import torch

from fedgan.attacks.base import Attack
from fedgan.attacks.noise_patch import NoisePatch
from fedgan.attacks.patch_attack import POSITIONS, PatchAttack
from fedgan.attacks.random_patch import RandomPatch
from fedgan.attacks.white_square import WhiteSquare
from fedgan.core.images import to_float
from fedgan.core.rng import keyed_generator
from fedgan.core.window import Window
from tests.helpers.images import random_images


def rng() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@pytest.mark.parametrize("attack", [cls(size=4, margin=2) for cls in (WhiteSquare, RandomPatch, NoisePatch)])
def test_the_trigger_is_what_is_pasted_in_minus_one_to_one(attack: PatchAttack) -> None:
    """The first code pasted [0, 1] on images in [-1, 1]: its black came out gray."""
    images = random_images(6, channels=3)
    trigger = attack.trigger(channels=3, image_size=32, seed=5)
    poisoned = to_float(attack.poison(images, trigger, rng()).images)
    assert torch.equal(poisoned[:, :, 26:30, 26:30], to_float(trigger.pattern).expand(6, 3, 4, 4))
    outside = torch.ones(32, 32, dtype=torch.bool)
    outside[26:30, 26:30] = False
    assert torch.equal(poisoned[:, :, outside], to_float(images.images)[:, :, outside])


def test_white_is_plus_one_and_random_colors_span_the_range() -> None:
    white = WhiteSquare(size=4).trigger(channels=1, image_size=32, seed=0)
    assert to_float(white.pattern).eq(1.0).all()
    patch = NoisePatch(size=32).trigger(channels=3, image_size=64, seed=0)
    assert white.pattern.dtype == patch.pattern.dtype == torch.uint8
    colors = to_float(patch.pattern)
    assert (colors.min(), colors.max()) == (-1.0, 1.0)
    assert colors.mean().abs() < 0.05


@pytest.mark.parametrize("kind", [RandomPatch, NoisePatch])
def test_random_colors_depend_on_the_seed_alone(kind: type[PatchAttack]) -> None:
    first, again, other = (kind(size=8).trigger(channels=3, image_size=32, seed=s).pattern for s in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def neighbor_correlation(pattern: torch.Tensor) -> float:
    """Between pixels that are side by side, over both directions."""
    x = pattern.double()
    pairs = ((x[..., 1:], x[..., :-1]), (x[:, 1:], x[:, :-1]))
    return float(np.mean([np.corrcoef(a.flatten(), b.flatten())[0, 1] for a, b in pairs]))


def high_frequency_share(pattern: torch.Tensor) -> float:
    """Of the energy about the mean, the share above a quarter of a cycle per pixel."""
    x = pattern.double()
    energy = torch.fft.fft2(x - x.mean(dim=(1, 2), keepdim=True)).abs().square()
    frequencies = torch.fft.fftfreq(x.shape[-1]).abs()
    high = torch.hypot(frequencies[:, None], frequencies[None]) > 0.25
    return float(energy[:, high].sum() / energy.sum())


@pytest.mark.parametrize(("size", "correlation"), [(16, (0.91, 0.95)), (32, (0.97, 0.99)), (64, (0.985, 1.0))])
def test_a3_the_random_patch_is_as_smooth_as_the_cited_triggers(size: int, correlation: tuple[float, float]) -> None:
    """Measured on two of Saha's PNGs resized as both codes do: 0.91 to 0.93, 0.98, 0.99; 1 to 6 % high frequencies."""
    patches = [RandomPatch(size=size).trigger(3, 256, seed).pattern for seed in range(40)]
    low, high = correlation
    assert low < np.mean([neighbor_correlation(patch) for patch in patches]) < high
    assert 0.01 < np.mean([high_frequency_share(patch) for patch in patches]) < 0.08


def test_a3_noise_is_another_trigger() -> None:
    patches = [NoisePatch(size=32).trigger(3, 256, seed).pattern for seed in range(10)]
    assert abs(np.mean([neighbor_correlation(patch) for patch in patches])) < 0.05
    assert np.mean([high_frequency_share(patch) for patch in patches]) > 0.6


@pytest.mark.parametrize(("size", "cells", "colors"), [(2, 4, 4), (4, 4, 16), (8, 1, 1), (3, 3, 9)])
def test_a3_never_more_cells_than_pixels(size: int, cells: int, colors: int) -> None:
    """With as many cells as pixels each pixel is a cell; with one the patch has one color."""
    pattern = RandomPatch(size=size, cells=cells).trigger(channels=3, image_size=32, seed=4).pattern
    assert len(torch.unique(pattern.flatten(1), dim=1).T) == colors
    assert pattern.shape == (3, size, size)


def test_cells_beyond_the_number_of_pixels_are_not_drawn() -> None:
    many, two = (RandomPatch(size=2, cells=cells).trigger(channels=3, image_size=32, seed=4) for cells in (9, 2))
    assert torch.equal(many.pattern, two.pattern)


def cubic(distance: float) -> float:
    """Keys' kernel with a = -3/4, as torch and OpenCV have it."""
    x, a = abs(distance), -0.75
    if x < 1:
        return (a + 2) * x**3 - (a + 3) * x**2 + 1
    return a * (x**3 - 5 * x**2 + 8 * x - 4) if x < 2 else 0.0


def test_cells_are_enlarged_bicubically_to_the_nearest_byte() -> None:
    """Each pixel weighs the cells around its center, those at the border counting for those beyond it."""
    weights = np.zeros((16, 4))
    for pixel in range(16):
        center = (pixel + 0.5) / 4 - 0.5
        for cell in range(-2, 6):
            weights[pixel, min(max(cell, 0), 3)] += cubic(center - cell)
    cells = (
        torch.randint(0, 256, (3, 4, 4), dtype=torch.uint8, generator=keyed_generator(7, "trigger")).double().numpy()
    )
    smooth = weights @ cells @ weights.T
    assert smooth.min() < 0
    assert smooth.max() > 255
    pattern = RandomPatch(size=16).trigger(channels=3, image_size=32, seed=7).pattern
    assert np.array_equal(pattern.numpy(), smooth.round().clip(0, 255))


@pytest.mark.parametrize(
    ("position", "corner"),
    [
        ("bottom_right", (25, 25)),
        ("bottom_left", (25, 3)),
        ("top_right", (3, 25)),
        ("top_left", (3, 3)),
        ("center", (14, 14)),
    ],
)
def test_positions(position: str, corner: tuple[int, int]) -> None:
    trigger = WhiteSquare(size=4, margin=3, position=position).trigger(channels=1, image_size=32, seed=0)
    assert (trigger.top, trigger.left) == corner
    assert position in POSITIONS


KINDS = (WhiteSquare, RandomPatch, NoisePatch)


def place_and_window(attack: PatchAttack) -> tuple[int, int, int, Window]:
    """The trigger's corner, how many of 40 images it is pasted on, and when."""
    images = random_images(40, channels=3)
    trigger = attack.trigger(channels=3, image_size=32, seed=0)
    poisoned = attack.poison(images, trigger, rng())
    changed = int((poisoned.images != images.images).flatten(1).any(1).sum())
    return trigger.top, trigger.left, changed, attack.window


@pytest.mark.parametrize("kind", KINDS)
def test_every_trigger_takes_the_settings_that_all_share(kind: type[PatchAttack]) -> None:
    attack = kind(size=4, margin=3, position="top_left", poison_share=0.25, start=2, stop=5)
    assert place_and_window(attack) == (3, 3, 10, Window(2, 5))


@pytest.mark.parametrize("kind", KINDS)
def test_by_default_every_image_is_marked_a_pixel_from_the_corner_in_all_rounds(kind: type[PatchAttack]) -> None:
    assert place_and_window(kind(size=4)) == (27, 27, 40, Window(0, None, 1))


def test_the_random_patch_has_four_cells_a_side_by_default() -> None:
    default, four, five = (RandomPatch(size=8, **cells).trigger(3, 32, 0) for cells in ({}, {"cells": 4}, {"cells": 5}))
    assert torch.equal(default.pattern, four.pattern)
    assert not torch.equal(default.pattern, five.pattern)
    with pytest.raises(ValueError, match="^cells must be a whole number of at least 1; got 0"):
        RandomPatch(size=8, cells=0)


@pytest.mark.parametrize(("share", "changed"), [(1.0, 40), (0.5, 20), (0.25, 10), (0.001, 1)])
def test_share_of_images(share: float, changed: int) -> None:
    images = random_images(40)
    attack = WhiteSquare(size=4, poison_share=share)
    trigger = attack.trigger(channels=1, image_size=32, seed=0)
    poisoned = attack.poison(images, trigger, rng())
    assert int((poisoned.images != images.images).flatten(1).any(1).sum()) == changed
    again = attack.poison(images, trigger, rng())
    assert torch.equal(poisoned.images, again.images)


def test_poisoning_leaves_the_given_images_and_labels_alone() -> None:
    images = random_images(8)
    before = images.fingerprint
    attack = WhiteSquare(size=8)
    poisoned = attack.poison(images, attack.trigger(channels=1, image_size=32, seed=0), rng())
    assert images.fingerprint == before
    assert torch.equal(poisoned.labels, images.labels)


@pytest.mark.parametrize(
    ("size", "margin", "position"), [(33, 0, "top_left"), (30, 3, "bottom_right"), (33, 9, "center")]
)
def test_a_trigger_that_does_not_fit_is_refused(size: int, margin: int, position: str) -> None:
    with pytest.raises(ValueError, match=f"size must be at most .* got {size}"):
        WhiteSquare(size=size, margin=margin, position=position).trigger(channels=1, image_size=32, seed=0)


def test_a_trigger_may_fill_the_image() -> None:
    """In the center whatever the margin, which counts from the border."""
    for attack in (WhiteSquare(size=32, margin=0), WhiteSquare(size=32, margin=3, position="center")):
        assert attack.trigger(channels=1, image_size=32, seed=0).window == (slice(0, 32), slice(0, 32))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"size": 0}, "size must be a whole number of at least 1; got 0"),
        ({"size": "big"}, "size must be a whole number"),
        ({"size": 4, "margin": -1}, "margin must be a whole number of at least 0; got -1"),
        ({"size": 4, "position": "middle"}, "position must be one of bottom_right, .*; got 'middle'"),
        ({"size": 4, "poison_share": 0.0}, r"poison_share must be a number in \(0, 1\]; got 0.0"),
        ({"size": 4, "poison_share": 1.1}, "poison_share"),
        ({"size": 4, "start": -1}, "^start must be a whole number of at least 0; got -1"),
    ],
)
def test_bad_settings(settings: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        WhiteSquare(**settings)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("attack", "words"),
    [
        (WhiteSquare(size=8), "white_square of 8 x 8 pixels at the bottom right"),
        (RandomPatch(size=4, position="top_left"), "random_patch of 4 x 4 pixels at the top left"),
        (NoisePatch(size=4, position="center"), "noise_patch of 4 x 4 pixels in the center"),
        (Attack(), "no attack"),
    ],
)
def test_an_attack_in_words(attack: Attack, words: str) -> None:
    assert str(attack) == words


def test_no_attack_changes_nothing() -> None:
    images = random_images(4)
    assert Attack().poison(images, None, rng()) is images
    assert Attack().trigger(1, 32, 0) is None
    assert not Attack().acts
