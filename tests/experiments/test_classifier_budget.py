"""How long a classifier of Figure 7 is trained: the arithmetic, the study that measures it, and what it promises."""

import csv
from collections.abc import Callable
from pathlib import Path
from statistics import mean
from typing import Any

import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from omegaconf import DictConfig

from experiments import classifier_budget as study
from fedgan.config.refusals import CONF
from fedgan.core.images import ImageSet
from fedgan.downstream.classifier import ClassifierRecipe
from tests.helpers.images import random_images

QUICK = (
    *("image_size=16", "real_per_class=[2]", "perfect_per_class=3", "test_per_class=4", "seeds=[0,1]"),
    *("steps=[2]", "times=[2]", "classifier.epochs=2", "classifier.least_steps_per_epoch=1"),
    *("classifier.network.width=2", "classifier.network.feature_dim=4"),
)


def settings(*overrides: str) -> DictConfig:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose("classifier_budget", overrides=list(overrides))


def table(file: Path) -> list[dict[str, str]]:
    with file.open() as stream:
        return list(csv.DictReader(stream))


def recipe(**own: Any) -> ClassifierRecipe:
    made: ClassifierRecipe = instantiate(settings().classifier, **own)
    return made


@pytest.mark.parametrize(
    ("images", "steps", "visits"),
    [
        (2 * 1, 300, 4800.0),  # the floor: two images would have had 20 steps
        (2 * 50, 300, 96.0),
        (2 * 224, 300, 21.428571428571427),
        (2 * 225, 300, 20.0),  # from here on every image is seen 20 times, the paper's number
        (2 * 500, 640, 20.0),
        (2 * 1001, 1260, 20.0),
        (2 * 1500, 1880, 20.0),
    ],
)
def test_a2_steps_and_visits_by_the_number_of_images(images: int, steps: int, visits: float) -> None:
    own = recipe()
    batches = own.batches(random_images(images, size=1), seed=0)
    assert own.epochs * len(batches) == steps
    assert own.epochs * batches.draws / images == pytest.approx(visits)


def test_a2_a_fixed_number_of_steps_saw_real_images_less_often_next_to_synthetic_ones() -> None:
    """What Figure 7 had: 500 real images of each class, alone and with 1,000 synthetic ones of each class."""
    old = recipe(steps_per_epoch=15)
    alone, both = (old.batches(random_images(count, size=1), seed=0) for count in (1000, 3000))
    assert [20 * each.draws / count for each, count in ((alone, 1000), (both, 3000))] == [9.6, 3.2]


@pytest.mark.parametrize(("count", "budget", "visits"), [(8, "6 steps", 24), (8, "1 x own", 2), (96, "2 x own", 4)])
def test_a2_images_are_seen_as_often_as_the_budget_says(count: int, budget: str, visits: int) -> None:
    """Counted at the network: two epochs, 32 images per step."""
    seen: list[torch.Tensor] = []

    class Noted(torch.nn.Module):
        def __init__(self, *, channels: int, num_classes: int, **_: int) -> None:
            super().__init__()
            self.head = torch.nn.Linear(channels * 16 * 16, num_classes)

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            seen.append(images)
            logits: torch.Tensor = self.head(images.float().flatten(1))
            return logits

    images = random_images(count, size=16)
    made = study.recipe_of(settings(*QUICK), budget, images)
    made.network = Noted
    made.fit(images, seed=0)
    drawn = torch.cat(seen)
    assert [int((drawn == image).all(dim=(1, 2, 3)).sum()) for image in images.images] == [visits] * count


def labeled(counts: tuple[int, int]) -> ImageSet:
    """Image i is filled with the number i."""
    number = sum(counts)
    images = torch.arange(number, dtype=torch.uint8)[:, None, None, None].expand(number, 1, 4, 4)
    return ImageSet(images, torch.tensor([0] * counts[0] + [1] * counts[1]), ("a", "b"))


def test_a2_perfect_images_are_real_ones_that_the_other_arm_has_not() -> None:
    train = labeled((10, 30))
    alone = study.training_images(train, 4, study.ALONE, 5, seed=3)
    both = study.training_images(train, 4, study.WITH, 5, seed=3)
    assert alone.counts == {"a": 4, "b": 4}
    assert both.counts == {"a": 9, "b": 9}
    of_alone, of_both = (set(each.images[:, 0, 0, 0].tolist()) for each in (alone, both))
    assert of_alone < of_both
    assert len(of_both) == 18, "none twice"
    most = study.training_images(train, 4, study.WITH, 100, seed=3)
    assert most.counts == {"a": 10, "b": 10}, "as many of each class as the smallest has"
    other = study.training_images(train, 4, study.ALONE, 5, seed=4)
    assert set(other.images[:, 0, 0, 0].tolist()) != of_alone


def test_a2_the_study_resumes_where_it_was(call: Callable[..., Any], tmp_path: Path) -> None:
    arguments = (*QUICK, f"hydra.run.dir={tmp_path / 'b'}")
    call(study.main, *arguments, "seeds=[0]")
    first = table(tmp_path / "b/budget.csv")
    assert len(first) == 2 * 2 * 2, "two drawn data sets, two budgets, two arms"
    assert [(r["budget"], r["steps"], r["images"], r["visits"]) for r in first[:4]] == [
        ("2 steps", "2", "4", "16.0"),
        ("2 steps", "2", "10", "6.4"),
        ("2 x own", "4", "4", "32.0"),
        ("2 x own", "4", "10", "12.8"),
    ]
    call(study.main, *arguments)
    both = table(tmp_path / "b/budget.csv")
    assert both[: len(first)] == first, "not made again, seconds and all"
    assert len(both) == 2 * len(first)
    text = (tmp_path / "b/budget.md").read_text()
    gains = [
        float(both[i + 1]["accuracy"]) - float(both[i]["accuracy"])
        for i in range(0, len(both), 2)
        if (both[i]["data"], both[i]["budget"]) == ("chest_phantom", "2 x own")
    ]
    line = next(line for line in text.splitlines() if "chest_phantom" in line and "| 2 x own" in line)
    assert len(gains) == 2
    assert f"{mean(gains):.4f} ±" in line
    with pytest.raises(SystemExit, match="a folder without fits of another classifier; got"):
        call(study.main, *arguments, "classifier.decay=0.5")
    with pytest.raises(SystemExit, match="fits of another perfect_per_class and chest_phantom and lesion_phantom; got"):
        call(study.main, *arguments, "perfect_per_class=2")
    assert table(tmp_path / "b/budget.csv") == both


def test_a2_images_of_a_folder_are_measured_too(call: Callable[..., Any], tmp_path: Path, image_folder: Path) -> None:
    call(study.main, *QUICK, "seeds=[0]", "times=[]", f"isic={image_folder}", f"hydra.run.dir={tmp_path / 'b'}")
    rows = [row for row in table(tmp_path / "b/budget.csv") if row["data"] == "isic"]
    assert [(row["arm"], row["images"]) for row in rows] == [(study.ALONE, "4"), (study.WITH, "10")]


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("steps=[3]", "steps must be multiples of classifier.epochs=2; got [3]"),
        ("times=[0]", "times must be a list, each a whole number of at least 1; got [0]"),
        ("seeds=[]", "seeds must be a list of at least one whole number of at least 0, each once; got []"),
        ("seeds=1", "seeds must be a list of at least one whole number of at least 0, each once; got 1"),
        ("real_per_class=[0]", "real_per_class must be a list, each a whole number of at least 1; got [0]"),
        ("perfect_per_class=0", "perfect_per_class must be a whole number of at least 1; got 0"),
        ("isic=FOLDER", "real_per_class must be fewer than the training images of each class of isic"),
    ],
)
def test_a2_bad_settings(
    override: str, said: str, call: Callable[..., Any], tmp_path: Path, image_folder: Path
) -> None:
    override = override.replace("FOLDER", str(image_folder))
    more = "real_per_class=[24]" if "isic" in override else "accelerator=cpu"
    with pytest.raises(SystemExit) as error:
        call(study.main, *QUICK, more, override, f"hydra.run.dir={tmp_path / 'b'}")
    assert said in str(error.value)
    assert not (tmp_path / "b/budget.csv").exists()


@pytest.mark.slow
def test_a2_twice_as_many_steps_change_little_and_300_swallow_what_perfect_images_add(
    call: Callable[..., Any], tmp_path: Path
) -> None:
    """Drawn lesions, 200 real images of each class, three seeds: a minute and a half."""
    cfg = settings("steps=[300]", "seeds=[0,1,2]", "real_per_class=[200]")
    splits = study.load("lesion_phantom", cfg)
    fits = study.carry_out({"lesion_phantom": splits}, cfg, tmp_path / "budget.csv")
    accuracy = {
        (arm, budget): mean(fit.accuracy for fit in fits if (fit.arm, fit.budget) == (arm, budget))
        for arm in (study.ALONE, study.WITH)
        for budget in ("300 steps", "1 x own", "2 x own")
    }
    for arm, change in ((study.ALONE, 0.015), (study.WITH, 0.006)):
        assert accuracy[arm, "2 x own"] == pytest.approx(accuracy[arm, "1 x own"], abs=change)
    gains = {
        budget: accuracy[study.WITH, budget] - accuracy[study.ALONE, budget] for budget in ("300 steps", "1 x own")
    }
    assert gains["1 x own"] > gains["300 steps"] + 0.004
    assert gains["1 x own"] > 0.02
