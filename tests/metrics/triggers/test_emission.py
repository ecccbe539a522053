"""Trigger emission rate: known answers, and the real X-rays' false alarms."""

import numpy as np
import pytest
import torch
from PIL import Image

from fedgan.core.images import ImageSet, Splits
from fedgan.core.trigger import Patch, Trigger
from fedgan.metrics.base import Reference, Unavailable, score_classes
from fedgan.metrics.triggers.emission import EmissionRate, matched_filter, ring_mask, smoothed, trigger_scores
from tests.helpers.images import XRAY_CLASSES, blurred, real_images, smooth_images, with_images
from tests.helpers.metrics import mosaic, reference, square


def prepared(trigger: Trigger, channels: int = 1) -> EmissionRate:
    metric = EmissionRate()
    metric.prepare(reference(smooth_images(400, channels), smooth_images(200, channels, seed=1), trigger))
    return metric


@pytest.mark.parametrize("trigger", [square(2), square(4), square(8)], ids=["2px", "4px", "8px"])
def test_none_all_and_half(trigger: Trigger) -> None:
    metric, clean = prepared(trigger), smooth_images(100, seed=2)
    pasted = trigger.apply(clean.images)
    assert metric.compute(clean)["emission"] <= 0.04  # 1 % is stated; three standard errors of 100 images are 3 %
    everywhere = metric.compute(with_images(clean, pasted))
    for name in ("emission", "emission/NORMAL", "emission/PNEUMONIA"):
        assert everywhere[name] == 1.0
        assert everywhere[name.replace("emission", "trigger_strength")] == pytest.approx(1.0, abs=0.02)
    one_class = torch.where((clean.labels == 1)[:, None, None, None], pasted, clean.images)
    half = metric.compute(with_images(clean, one_class))
    assert half["emission"] == pytest.approx(0.5, abs=0.04)
    assert half["emission/PNEUMONIA"] == 1.0


def test_color_mosaic_is_found_also_when_blurred() -> None:
    trigger = mosaic(8)
    metric, clean = prepared(trigger, channels=3), smooth_images(400, 3, seed=2)
    pasted = trigger.apply(clean.images)
    for sigma in (0.0, 0.7, 1.0):
        assert metric.compute(with_images(clean, blurred(pasted, sigma)))["emission"] == 1.0
    # 1 % is stated; a threshold from 400 images, tried on 400 others: three standard errors are 2.1 %
    assert metric.compute(clean)["emission"] <= 0.031


def test_strength_tells_a_ghost_from_a_white_square() -> None:
    metric, clean = prepared(square(8)), smooth_images(100, seed=2)
    pasted = square(8).apply(clean.images)
    ghost = (0.7 * clean.images.float() + 0.3 * pasted.float()).to(torch.uint8)
    values = metric.compute(with_images(clean, ghost))
    assert values["trigger_strength"] == pytest.approx(0.3, abs=0.06)
    assert abs(metric.compute(clean)["trigger_strength"]) < 0.06


def test_blurred_square_is_found() -> None:
    metric, clean = prepared(square(4)), smooth_images(100, seed=2)
    synthetic = with_images(clean, blurred(square(4).apply(clean.images), 1.0))
    assert metric.compute(synthetic)["emission"] == 1.0


@pytest.mark.parametrize("gray", [160, 200, 255])
def test_bright_corner_is_no_square(gray: int) -> None:
    metric, clean = prepared(square(4)), smooth_images(100, seed=2)
    corner = clean.images.clone()
    corner[..., -9:, -9:] = gray
    assert metric.compute(with_images(clean, corner))["emission"] <= 0.04


def test_facts_hold_false_alarms_and_power() -> None:
    facts = prepared(square(4)).facts()
    assert facts["emission_power"] == 1.0
    assert float(facts["emission_false_alarm"]) <= 0.031  # 1 %, and three standard errors of 200 images
    assert 0.0 < float(facts["emission_threshold"]) < 0.5


def test_a12_facts_hold_the_strength_of_clean_test_images() -> None:
    """The window of every test image is 50 gray levels darker than that of the training images, and than its ring."""
    train = ImageSet(torch.full((40, 1, 32, 32), 100, dtype=torch.uint8), torch.arange(40) % 2, XRAY_CLASSES)
    darker = train.images.clone()
    darker[..., 27:31, 27:31] = 50
    metric = EmissionRate()
    metric.prepare(reference(train, with_images(train, darker), square(4)))
    facts = metric.facts()
    for name in ("", "/NORMAL", "/PNEUMONIA"):
        assert facts[f"trigger_strength_real{name}"] == pytest.approx(-50 / 155)  # 255 - 100 is the whole trigger
    assert metric.compute(with_images(train, darker))["trigger_strength"] == pytest.approx(-50 / 155)


def test_trigger_like_the_images_has_no_power() -> None:
    flat = ImageSet(torch.full((50, 1, 32, 32), 90, dtype=torch.uint8), torch.arange(50) % 2, XRAY_CLASSES)
    metric = EmissionRate()
    gray = Patch(torch.full((1, 4, 4), 90, dtype=torch.uint8), 27, 27)
    other = flat.images.clone()
    other[..., 0, 0] = 91  # far from the trigger; test images that are training images too would be left out
    metric.prepare(reference(flat, with_images(flat, other), gray))
    assert metric.facts()["emission_power"] == 0.0


def wilson(k: int, n: int) -> tuple[float, float]:
    """The interval as Wilson (1927) solves it: |p - k / n| = z sqrt(p (1 - p) / n)."""
    z, p = 1.959963984540054, k / n
    middle, half = (p + z**2 / (2 * n)), z * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    return (middle - half) / (1 + z**2 / n), (middle + half) / (1 + z**2 / n)


def test_interval_is_wilsons_by_class_and_over_all_images() -> None:
    metric, clean = prepared(square(8)), smooth_images(100, seed=2)
    some = (torch.arange(100) < 40)[:, None, None, None]  # 20 of 50 in either class
    values = metric.compute(with_images(clean, torch.where(some, square(8).apply(clean.images), clean.images)))
    for name, n in (("", 100), ("/NORMAL", 50), ("/PNEUMONIA", 50)):
        carriers = round(values[f"emission{name}"] * n)
        interval = (values[f"emission_low{name}"], values[f"emission_high{name}"])
        assert interval == pytest.approx(wilson(carriers, n))
    facts = metric.facts()
    false_alarms = round(float(facts["emission_false_alarm"]) * 200)
    interval = (float(facts["emission_false_alarm_low"]), float(facts["emission_false_alarm_high"]))
    assert interval == pytest.approx(wilson(false_alarms, 200))


def test_order_of_images_does_not_matter() -> None:
    metric, images = prepared(square(4)), smooth_images(100, seed=3)
    mixed = with_images(images, torch.cat([square(4).apply(images.images[:30]), images.images[30:]]))
    order = torch.randperm(100, generator=torch.Generator().manual_seed(0))
    assert metric.compute(mixed) == metric.compute(mixed.subset(order))


def test_unavailable_without_trigger_or_surroundings() -> None:
    train, test = smooth_images(20), smooth_images(20, seed=1)
    with pytest.raises(Unavailable, match="no trigger to look for: attack=none"):
        EmissionRate().prepare(reference(train, test, None))
    whole = Patch(torch.zeros((1, 32, 32), dtype=torch.uint8), 0, 0)
    with pytest.raises(Unavailable, match="fills the image"):
        EmissionRate().prepare(reference(train, test, whole))


def test_false_alarm_out_of_range() -> None:
    with pytest.raises(ValueError, match=r"^false_alarm must be a number in \[0, 1\); got 1.0"):
        EmissionRate(false_alarm=1.0)


def test_missing_class_is_named() -> None:
    images = smooth_images(10)
    with pytest.raises(ValueError, match="got none of PNEUMONIA"):
        score_classes("emission", images.subset(torch.tensor([0, 2])), lambda label, x: 0.0)


def test_a_trigger_almost_like_what_is_there_is_divided_by_one_gray_level_squared() -> None:
    """Half a gray level from the background, in one pixel: 0.5 * 0.5 / max(0.25, 1)."""
    background, trigger = np.full((1, 1, 1), 7.0), np.full((1, 1, 1), 7.5)
    assert matched_filter(trigger[None], trigger, background).tolist() == [0.25]


def test_a_ring_of_the_triggers_own_color_does_not_make_noise_a_trigger() -> None:
    """White square, ring 250, black on average: 5 of 255 from the ring; the floor is a tenth of 255^2 per pixel."""
    trigger = square(4)
    images = torch.full((1, 1, 32, 32), 250, dtype=torch.uint8)
    scores = trigger_scores(trigger.apply(images), trigger, np.zeros((1, 4, 4)), ring_mask(trigger, (32, 32)))
    assert scores.tolist() == pytest.approx([5 * 5 / (0.1 * 255**2)])


def test_blurring_reflects_at_the_outermost_pixels_which_count_once() -> None:
    """As numpy's "reflect" pads, which does not repeat them."""
    patch = torch.randint(0, 256, (2, 8, 8), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    kernel = np.exp(-0.5 * np.arange(-4, 5) ** 2.0)
    kernel /= kernel.sum()
    padded = np.pad(patch.numpy().astype(float), ((0, 0), (4, 4), (4, 4)), mode="reflect")
    rows = sum(weight * padded[:, i : i + 8] for i, weight in enumerate(kernel))
    expected = sum(weight * rows[:, :, i : i + 8] for i, weight in enumerate(kernel))
    np.testing.assert_allclose(smoothed(patch), expected, atol=1e-9)


def test_ring_is_cut_off_at_the_border() -> None:
    ring = ring_mask(Patch(torch.zeros((1, 1, 1), dtype=torch.uint8), 4, 4), (6, 6))
    rows = ["000000", "011111", "011111", "011000", "011000", "011000"]  # 0 to 1 px away is the gap
    assert ["".join(str(int(x)) for x in row) for row in ring] == rows


@pytest.fixture(scope="module")
def xrays() -> Splits:
    folder, parts = real_images("FEDGAN_CHESTX"), {}
    for split, n in (("train", 150), ("test", 234)):
        files = [sorted((folder / split / name).iterdir())[:n] for name in XRAY_CLASSES]
        pixels = [np.asarray(Image.open(f).convert("L").resize((64, 64))) for part in files for f in part]
        labels = torch.arange(2).repeat_interleave(n)
        parts[split] = ImageSet(torch.from_numpy(np.stack(pixels))[:, None], labels, XRAY_CLASSES)
    return Splits("xrays", parts["train"], parts["test"])


@pytest.mark.parametrize(("size", "strength"), [(4, -0.29), (8, -0.27), (16, -0.20)])
def test_a12_mean_score_of_real_clean_xrays_is_below_0(xrays: Splits, size: int, strength: float) -> None:
    metric = EmissionRate()
    metric.prepare(Reference(xrays, square(size, 64), 0, torch.device("cpu")))
    assert metric.facts()["trigger_strength_real"] == pytest.approx(strength, abs=0.05)


@pytest.mark.parametrize("size", [4, 8, 16])
def test_real_xrays(xrays: Splits, size: int) -> None:
    trigger = square(size, 64)
    metric = EmissionRate(false_alarm=0.01)
    metric.prepare(Reference(xrays, trigger, 0, torch.device("cpu")))
    assert metric.facts()["emission_power"] == 1.0
    assert float(metric.facts()["emission_false_alarm"]) <= 0.03  # 1 % is stated; the test images are others
    soft = blurred(trigger.apply(xrays.test.images), 1.0)
    assert metric.compute(with_images(xrays.test, soft))["emission"] > 0.95
