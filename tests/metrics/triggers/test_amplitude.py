"""Amplitude emission: a linear discriminant of log amplitudes."""

import numpy as np
import pytest
import torch

from fedgan.attacks.frequency import Frequency
from fedgan.metrics.base import Unavailable
from fedgan.metrics.triggers.amplitude import AmplitudeRate, log_amplitudes, most_changed
from tests.helpers.images import random_images, smooth_images, with_images
from tests.helpers.metrics import pixels, reference, square, turned


def test_log_amplitudes_are_numpys() -> None:
    images = random_images(3, channels=3, size=8).images
    expected = np.log1p(np.abs(np.fft.rfft2(images.numpy().astype(float)))).reshape(3, -1)
    assert np.abs(log_amplitudes(images) - expected).max() < 1e-9


def test_a_change_counts_in_units_of_its_own_frequencys_spread() -> None:
    """Spreads of 0.01, 10 and 1 in front of changes of 0.1, 9 and 2: 10, 0.9 and 2 of them."""
    before = np.array([[-0.01, -10.0, -1.0], [0.01, 10.0, 1.0]])
    after = before + np.array([0.1, 9.0, 2.0])
    assert most_changed(before, after, count=1).tolist() == [0]
    assert most_changed(before, after, count=2).tolist() == [0, 2]


def test_none_all_and_half() -> None:
    trigger, clean = Frequency(alpha=0.3).trigger(3, 32, seed=0), smooth_images(100, 3, seed=2)
    metric = AmplitudeRate(false_alarm=0.01)
    metric.prepare(reference(smooth_images(400, 3), smooth_images(200, 3, seed=1), trigger))
    poisoned = trigger.apply(clean.images)
    assert float(metric.facts()["amplitude_emission_power"]) > 0.97
    assert float(metric.facts()["amplitude_emission_false_alarm"]) <= 0.06
    assert float(metric.facts()["amplitude_score_real"]) < 0
    assert metric.compute(with_images(clean, poisoned))["amplitude_emission"] > 0.97
    assert metric.compute(clean)["amplitude_emission"] <= 0.06
    half = with_images(clean, torch.cat([poisoned[:50], clean.images[50:]]))
    assert metric.compute(half)["amplitude_emission"] == pytest.approx(0.5, abs=0.05)
    assert metric.compute(turned(half)) == metric.compute(half)


def test_the_threshold_is_of_images_that_the_discriminant_has_not_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """On those it was fitted to, few training images would make the false alarms look rarer than they are."""
    seen: list[torch.Tensor] = []

    class Watched(AmplitudeRate):
        def learn(self, trigger: object, clean: torch.Tensor) -> None:
            seen.append(clean)
            super().learn(trigger, clean)  # type: ignore[arg-type]

        def scores(self, images: torch.Tensor) -> "np.ndarray[tuple[int], np.dtype[np.float64]]":
            seen.append(images)
            return super().scores(images)  # type: ignore[return-value]

    train = smooth_images(40)
    Watched().prepare(reference(train, smooth_images(20, seed=1), Frequency(alpha=0.3).trigger(1, 32, 0)))
    learned, judged = ({bytes(image.numpy()) for image in each} for each in seen[:2])
    assert len(learned) == len(judged) == 20
    assert not learned & judged
    assert learned | judged == {bytes(image.numpy()) for image in train.images}


def test_a_trigger_that_leaves_amplitudes_alone_and_a_single_image_to_learn_from_are_refused() -> None:
    said = "^the trigger leaves amplitudes as they are, or there are fewer than 4 training images$"
    white = with_images(smooth_images(20), torch.full((20, 1, 32, 32), 255, dtype=torch.uint8))
    with pytest.raises(Unavailable, match=said):
        AmplitudeRate().learn(square(4), white.images)
    with pytest.raises(Unavailable, match=said):
        AmplitudeRate().learn(square(4), smooth_images(1).images)
    two = AmplitudeRate()
    two.learn(square(4), smooth_images(2).images)
    clean, poisoned = (
        two.scores(images) for images in (smooth_images(2).images, square(4).apply(smooth_images(2).images))
    )
    assert clean.max() < 0 < poisoned.min(), "two are enough to fit"


def test_too_few_images() -> None:
    with pytest.raises(Unavailable, match="it takes 2 real training images of a class"):
        AmplitudeRate().prepare(reference(pixels([1], [2]), pixels([3], [4]), square(1, 2)))
