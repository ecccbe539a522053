"""Scoring by several metrics at once: what cannot be computed is absent and says why."""

from collections.abc import Iterator

import pytest
import torch

from fedgan.core.images import ImageSet, Splits
from fedgan.metrics.base import Metric, Reference, Unavailable, score_classes
from fedgan.scoring.scorer import Scorer
from tests.helpers.images import random_images

REFERENCE = Reference(Splits("noise", random_images(8), random_images(4)), None, 0, torch.device("cpu"))


class Brightness(Metric):
    names = ("brightness",)

    def compute(self, synthetic: ImageSet) -> dict[str, float]:
        return score_classes("brightness", synthetic, lambda label, images: images.double().mean().item())


class Homeless(Brightness):
    names = ("homeless",)

    def prepare(self, reference: Reference) -> None:
        raise Unavailable("no weights at hand")


class Fussy(Metric):
    """Cannot score few images, and says so; scores nothing as a number."""

    names = ("fussy",)

    def compute(self, synthetic: ImageSet) -> dict[str, float]:
        if len(synthetic) < 4:
            raise Unavailable("fewer than four images")
        return {"fussy": float("nan")} if len(synthetic) > 4 else {"fussy": 1.0}


@pytest.fixture
def scorer() -> Scorer:
    scorer = Scorer({"brightness": Brightness(), "homeless": Homeless(), "fussy": Fussy()}, ("a", "b"))
    scorer.prepare(REFERENCE)
    return scorer


def test_what_cannot_be_prepared_is_left_out_with_its_reason(
    capsys: pytest.CaptureFixture[str], scorer: Scorer
) -> None:
    assert scorer.absent == {"homeless": "no weights at hand"}
    assert "homeless" not in " ".join(scorer.columns)
    values = scorer.score(random_images(4))
    assert set(values) == {"brightness", "brightness/a", "brightness/b", "fussy"}
    assert values["brightness"] == pytest.approx(random_images(4).images.double().mean().item())
    assert capsys.readouterr().err.count("no weights at hand") == 1


def test_what_cannot_be_computed_this_time_may_be_the_next(scorer: Scorer) -> None:
    assert "fussy" not in scorer.score(random_images(2))
    assert scorer.absent["fussy"] == "fewer than four images"
    assert scorer.score(random_images(4))["fussy"] == 1.0
    assert "fussy" not in scorer.absent


def test_a_value_that_is_not_finite_is_refused(scorer: Scorer) -> None:
    assert "fussy" not in scorer.score(random_images(6))
    assert scorer.absent["fussy"] == "it came out as fussy = nan"


def test_a_progress_bar_sees_every_metric() -> None:
    seen = []

    def watch(names: list[str], doing: str) -> Iterator[str]:
        for name in names:
            seen.append((doing, name))
            yield name

    scorer = Scorer({"brightness": Brightness()}, ("a", "b"), watch=watch)
    scorer.prepare(REFERENCE)
    scorer.score(random_images(4))
    assert seen == [("preparing", "brightness"), ("scoring", "brightness")]


def test_a_metric_that_returns_other_names_than_it_declares_is_named() -> None:
    class Misnamed(Brightness):
        names = ("lightness",)

    scorer = Scorer({"own": Misnamed()}, ("a", "b"))
    with pytest.raises(
        ValueError, match=r"^metrics.own: compute must return the names that it declares, lightness; got \["
    ):
        scorer.score(random_images(4))
