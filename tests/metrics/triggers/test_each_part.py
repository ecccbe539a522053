"""Emission of each part: a part alone, the whole, and nothing."""

import pytest

from fedgan.attacks.distributed import Distributed
from fedgan.metrics.base import Unavailable
from fedgan.metrics.triggers.each_part import EachPartRate
from fedgan.metrics.triggers.emission import EmissionRate
from tests.helpers.images import blurred, smooth_images, with_images
from tests.helpers.metrics import reference, square


@pytest.mark.parametrize("parts", [2, 4])
def test_each_part_alone_and_all_of_them(parts: int) -> None:
    trigger, clean = Distributed(size=8, parts=parts, margin=1).trigger(1, 32, 0), smooth_images(60, seed=2)
    metric, whole = EachPartRate(), EmissionRate()
    for each in (metric, whole):
        each.prepare(reference(smooth_images(300), smooth_images(200, seed=1), trigger))
    names = [f"part_{i + 1}_emission" for i in range(parts)]
    assert metric.names == ("parts_emission", *names)
    assert [metric.facts()[f"{name}_power"] for name in names] == [1.0] * parts
    assert max(metric.compute(clean)[name] for name in names) <= 0.1
    for name, part in zip(names, trigger.parts, strict=True):
        alone = metric.compute(with_images(clean, part.apply(clean.images)))
        assert alone[name] == alone[f"{name}/NORMAL"] == 1.0
        assert all(alone[other] < 0.5 for other in names if other != name), alone
        assert alone["parts_emission"] == pytest.approx(sum(alone[each] for each in names) / parts)
    all_of_it = with_images(clean, trigger.apply(clean.images))
    assert metric.compute(all_of_it)["parts_emission"] == 1.0, "one part does not hide the next"
    assert whole.compute(all_of_it)["emission"] == 1.0


@pytest.mark.parametrize("parts", [2, 4])
def test_all_parts_but_one_are_not_the_whole(parts: int) -> None:
    trigger, clean = Distributed(size=8, parts=parts).trigger(1, 32, 0), smooth_images(200, seed=2)
    metric = EmissionRate()
    metric.prepare(reference(smooth_images(300), smooth_images(200, seed=1), trigger))
    assert metric.facts()["emission_power"] == 1.0
    assert float(metric.facts()["emission_false_alarm"]) <= 0.03
    for missing in range(parts):
        images = clean.images
        for i, part in enumerate(trigger.parts):
            images = images if i == missing else part.apply(images)
        assert metric.compute(with_images(clean, images))["emission"] <= 0.1
    soft = blurred(trigger.apply(clean.images), 0.5)
    assert metric.compute(with_images(clean, soft))["emission"] > 0.9, "blurred, it is there all the same"


def test_each_part_has_the_false_alarm_that_was_set() -> None:
    metric, trigger = EachPartRate(false_alarm=0.4), Distributed(size=8, parts=2).trigger(1, 32, 0)
    metric.prepare(reference(smooth_images(300), smooth_images(200, seed=1), trigger))
    rates = [float(metric.facts()[f"part_{i}_emission_false_alarm"]) for i in (1, 2)]
    assert rates == pytest.approx([0.4, 0.4], abs=0.11)  # three standard errors of 200 images


def test_a_trigger_of_one_piece_is_refused_with_the_metric_to_choose() -> None:
    with pytest.raises(Unavailable, match=r"^the trigger is not in parts: choose metrics=\[emission\]$"):
        EachPartRate().prepare(reference(smooth_images(20), smooth_images(20, seed=1), square(4)))
    with pytest.raises(Unavailable, match="^no trigger to look for"):
        EachPartRate().prepare(reference(smooth_images(20), smooth_images(20, seed=1)))
