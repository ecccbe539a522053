"""The utility study: known answers, paired arms, a study that resumes where it was."""

import csv
import functools
import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from omegaconf import DictConfig
from PIL import Image
from torch import Tensor, nn

from fedgan import utility
from fedgan.config import training
from fedgan.config.refusals import INTERRUPTED
from fedgan.core.images import ImageSet, Splits, to_float
from fedgan.core.trigger import Patch, Trigger
from fedgan.datasets.lesion_phantom import LesionPhantom
from fedgan.downstream.classifier import ClassifierRecipe, ImageClassifier
from fedgan.downstream.learning_curve import Fit, bootstrap_interval, curve, differences
from fedgan.downstream.study import UtilityStudy
from fedgan.metrics.classifier import ConvNet
from fedgan.models.base import Generator
from fedgan.runs.export import GeneratorSpec, Release
from fedgan.runs.load import FinishedRun
from tests.helpers.federation import TINY
from tests.helpers.images import random_images
from tests.helpers.runs import refusal

Call = Callable[..., Any]
RESULTS = "arm,real_per_class,seed,accuracy,balanced_accuracy,transfer_attack_rate,seconds"
QUICK = (
    "real_per_class=[1,3]",
    "synthetic_per_class=6",
    "seeds=[0,1]",
    "classifier.epochs=1",
    "classifier.steps_per_epoch=2",
    "classifier.network.width=2",
)
WHITE = Patch(torch.full((1, 4, 4), 255, dtype=torch.uint8), 27, 27)


# The fits


class Copies(Generator):
    """A perfect generator: an image of the requested class, out of those given."""

    def __init__(self, images: ImageSet) -> None:
        super().__init__()
        self.z_dim, self.real = 4, images
        self.unused = nn.Parameter(torch.zeros(1))  # tells the device

    def forward(self, z: Tensor, labels: Tensor, noise: Sequence[Tensor] | None = None) -> Tensor:
        chosen = [int(abs(row[0]) * 1e6) for row in z]
        pools = [self.real.of_class(int(label)) for label in labels]
        return torch.stack([to_float(pool[i % len(pool)]) for i, pool in zip(chosen, pools, strict=True)])


def finished(splits: Splits, source: ImageSet | None = None, trigger: Trigger | None = None) -> FinishedRun:
    spec = GeneratorSpec("", {}, splits.classes, splits.name, 1, attack="none", defense="none", emission=None)
    release = Release(Copies(source or splits.train), spec, "0")
    return FinishedRun(Path("run"), release, splits, trigger, seed=0, attacked=False)


def recipe(**settings: Any) -> ClassifierRecipe:
    network = functools.partial(ConvNet, width=4, feature_dim=8)
    return ClassifierRecipe(
        **{"network": network, "optimizer": functools.partial(torch.optim.AdamW, lr=1e-2)} | settings
    )


NOISE = Splits("noise", random_images(60), random_images(21, seed=1))


def study(runs: dict[str, FinishedRun] | None = None, splits: Splits = NOISE, **settings: Any) -> UtilityStudy:
    quick = recipe(epochs=1, steps_per_epoch=2)
    return UtilityStudy(runs or {"copies": finished(splits)}, quick, **{"synthetic_per_class": 5} | settings)


def test_copies_of_real_images_help() -> None:
    splits = LesionPhantom(image_size=32, train_per_class=60, test_per_class=60, seed=0).load()
    made = UtilityStudy(
        {"copies": finished(splits)},
        recipe(network=functools.partial(ConvNet, width=8, feature_dim=16), steps_per_epoch=5),
        synthetic_per_class=100,
    )
    alone, helped = made.fit("real only", 1, 0), made.fit("copies", 1, 0)
    assert helped.accuracy > 0.75
    assert helped.accuracy > alone.accuracy + 0.15
    assert helped.accuracy == pytest.approx(helped.correct.count("1") / 120)
    assert helped.balanced_accuracy == pytest.approx(helped.accuracy), "this test set is balanced"


def pixels(images: ImageSet) -> set[bytes]:
    return {image.numpy().tobytes() for image in images.images}


def test_arms_are_paired_and_subsets_nested() -> None:
    made = study({"a": finished(NOISE), "b": finished(NOISE)})
    few, more = (made.training_images("real only", n, 7) for n in (2, 9))
    assert few.counts == {"a": 2, "b": 2}
    assert pixels(few) < pixels(more)
    for arm in ("a", "b"):
        assert torch.equal(made.training_images(arm, 9, 7).images[:18], more.images)
    assert torch.equal(made.training_images("a", 9, 7).images, made.training_images("b", 9, 7).images)
    assert made.training_images("a", 9, 7).counts == {"a": 14, "b": 14}
    assert pixels(few) != pixels(made.training_images("real only", 2, 8)), "another seed draws others"
    assert made.training_images("a", 0, 7).counts == {"a": 5, "b": 5}
    assert not torch.equal(made.training_images("a", 0, 7).images, made.training_images("a", 0, 8).images)


def test_the_test_set_is_balanced_and_the_same_for_all() -> None:
    made = study()
    assert NOISE.test.counts == {"a": 11, "b": 10}
    assert NOISE.test.subset(made.asked).counts == {"a": 10, "b": 10}
    assert torch.equal(made.asked, study({"x": finished(NOISE, random_images(9))}).asked)
    assert NOISE.test.subset(study(test_per_class=3).asked).counts == {"a": 3, "b": 3}
    assert set(study(test_per_class=3).asked.tolist()) < set(made.asked.tolist())


def test_test_images_are_never_trained_on() -> None:
    both = ImageSet(
        torch.cat([NOISE.train.images, NOISE.test.images]),
        torch.cat([NOISE.train.labels, NOISE.test.labels]),
        ("a", "b"),
    )
    pooled = study(splits=Splits("pooled", both, NOISE.test))
    assert pixels(pooled.train) == pixels(NOISE.train)
    assert torch.equal(pooled.train.labels, NOISE.train.labels)
    with pytest.raises(
        ValueError,
        match="real_per_class must be at most 30, the real training images of class a that are not also test images; "
        "got 31",
    ):
        pooled.check_real([1, 31])
    pooled.check_real([30])


def test_f29_where_test_images_are_training_images_the_limit_says_so() -> None:
    made = study(splits=Splits("the same twice", NOISE.train, NOISE.train))
    with pytest.raises(ValueError) as error:
        made.check_real([20])
    limit = "at most 0, the real training images of class a that are not also test images"
    assert str(error.value) == f"real_per_class must be {limit}; got 20"
    made.check_real([0])  # synthetic images alone
    with pytest.raises(ValueError, match="at most 30, the real training images of class a; got 31"):
        study().check_real([31])


def test_balanced_accuracy_is_over_all_test_images() -> None:
    class Always(nn.Module):
        """Sees class a in every image."""

        def forward(self, images: Tensor) -> Tensor:
            return torch.tensor([[1.0, 0.0]]).expand(len(images), 2)

    test = NOISE.test.subset(torch.tensor([0, 2, 4, 6, 1]))  # four of a, one of b
    made = study(splits=Splits("skewed", NOISE.train, test))
    made.recipe = SimpleNamespace(fit=lambda images, seed: wrapped(Always()))  # type: ignore[assignment]
    fit = made.fit("real only", 1, 0)
    assert (fit.accuracy, fit.balanced_accuracy, fit.correct) == (0.5, 0.5, "10")


def wrapped(network: nn.Module) -> ImageClassifier:
    return ImageClassifier(network=network, optimizer=functools.partial(torch.optim.SGD, lr=1.0), decay=1.0)


class Corner(nn.Module):
    """Class b where the trigger's place is bright."""

    def forward(self, images: Tensor) -> Tensor:
        bright = images[:, 0, 27:31, 27:31].float().mean(dim=(1, 2)) - 200
        return torch.stack([-bright, bright], dim=1)


def test_transfer_rate_is_the_share_of_changed_answers() -> None:
    test = NOISE.test.subset(torch.arange(8))
    test.images[:2] = WHITE.apply(test.images[:2])  # one of each class is taken for b with and without the trigger
    splits = Splits("partly white", NOISE.train, test)
    made = study({"attacked": finished(splits, trigger=WHITE), "plain": finished(splits)})
    made.recipe = SimpleNamespace(fit=lambda images, seed: wrapped(Corner()), device="cpu")  # type: ignore[assignment]
    for arm in ("attacked", "plain", "real only"):
        assert made.fit(arm, 1, 0).transfer_attack_rate == 6 / 8, "the trigger known in the study is pasted for all"
    assert study().fit("copies", 1, 0).transfer_attack_rate is None


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"synthetic_per_class": 0}, "synthetic_per_class must be a whole number of at least 1; got 0"),
        ({"test_per_class": 11}, "test_per_class must be at most 10, the test images of the smallest class; got 11"),
        ({"test_per_class": 0}, "test_per_class must be a whole number of at least 1, or null; got 0"),
        (
            {"splits": Splits("one class", NOISE.train, NOISE.test.subset(torch.tensor([0, 2])))},
            "the data set's test images must be some of every class; got {'a': 2, 'b': 0}",
        ),
    ],
    ids=["synthetic", "test too many", "test too few", "class missing"],
)
def test_study_settings(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError) as error:
        study(**settings)
    assert str(error.value) == words


# The curve


def fit(arm: str, n: int, seed: int, correct: str) -> Fit:
    accuracy = correct.count("1") / len(correct)
    return Fit(arm, n, seed, accuracy, accuracy, None, 0.0, correct)


def test_curve_by_hand() -> None:
    fits = [fit("x", 1, 0, "1100"), fit("x", 1, 1, "1111"), fit("x", 5, 0, "1110")]
    first, second = curve(fits)
    assert (first.arm, first.real_per_class, first.mean, first.num_seeds) == ("x", 1, 0.75, 2)
    assert first.std == pytest.approx(0.5 / 2**0.5)
    assert (second.real_per_class, second.mean, second.std, second.num_seeds) == (5, 0.75, None, 1)


def test_differences_by_hand() -> None:
    same = [fit(arm, 1, seed, "1001" * 10) for arm in ("real only", "same") for seed in (0, 1)]
    better = [fit("better", 1, seed, "11" + "1011" * 9 + "11") for seed in (0, 1)]
    only_here = [fit("better", 0, 0, "1111")]
    found = {(d.arm, d.against): d for d in differences([*same, *better, *only_here])}
    assert list(found) == [("same", "real only"), ("better", "real only"), ("better", "same")]
    equal = found["same", "real only"]
    assert (equal.difference, equal.low, equal.high, equal.real_per_class) == (0.0, 0.0, 0.0, 1)
    gain = found["better", "real only"]
    assert gain == replace(found["better", "same"], against="real only")
    assert gain.difference == pytest.approx((1 - 9 / 40) - 0.5)
    assert 0 < gain.low < gain.difference < gain.high


def test_pairing_narrows_the_interval_and_seeds_are_averaged() -> None:
    fits = [fit("a", 1, 0, "10" * 20), fit("a", 1, 1, "01" * 20), fit("b", 1, 0, "11" * 20), fit("b", 1, 1, "00" * 20)]
    (found,) = differences(fits)  # every image is recognized by one of two classifiers in both arms
    assert (found.difference, found.low, found.high) == (0.0, 0.0, 0.0)


def test_interval_agrees_with_the_normal_approximation() -> None:
    values = np.random.default_rng(3).choice([-1.0, 0.0, 1.0], size=400, p=[0.1, 0.6, 0.3])
    low, high = bootstrap_interval(values, seed=0)
    half = 1.96 * values.std() / 400**0.5
    assert (low, high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.005)
    assert (low, high) == bootstrap_interval(values, seed=0)


# The command


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs")


@pytest.fixture
def run_of(runs: Path, configure: Callable[..., DictConfig]) -> Callable[..., Path]:
    """A finished run of these overrides, trained once for all tests of this file."""

    def train_once(name: str, *overrides: str) -> Path:
        if not (runs / name).exists():
            tiny = [o for o in TINY if "attack=none" not in overrides or not o.startswith("attack.")]
            training.train(configure(*tiny, "fl.rounds=1", *overrides, tiny=False), runs / name)
        return runs / name

    return train_once


@pytest.fixture
def run(run_of: Callable[..., Path]) -> Path:
    return run_of("attacked")


def table(file: Path) -> list[dict[str, str]]:
    with file.open() as stream:
        return list(csv.DictReader(stream))


def timeless(file: Path) -> list[dict[str, str]]:
    return [{name: value for name, value in row.items() if name != "seconds"} for row in table(file)]


def test_files_of_a_study(call: Call, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arms = f"runs={{one: {run}, other: {run}}}"
    call(utility.main, arms, *QUICK, "real_per_class=[3,0]", f"hydra.run.dir={tmp_path / 'u'}")
    results = table(tmp_path / "u/results.csv")
    assert (tmp_path / "u/results.csv").read_text().splitlines()[0] == RESULTS
    keys = [(row["arm"], row["real_per_class"], row["seed"]) for row in results]
    real = [("real only", "3", seed) for seed in "01"]
    assert keys == real + [(arm, n, seed) for arm in ("one", "other") for seed in "01" for n in "03"]
    assert all(0 <= float(row[name]) <= 1 for row in results for name in RESULTS.split(",")[3:6])
    points = table(tmp_path / "u/curve.csv")
    assert list(points[0]) == ["arm", "real_per_class", "mean", "std", "num_seeds"]
    found = [float(row["accuracy"]) for row in results if row["arm"] == "one" and row["real_per_class"] == "3"]
    (point,) = [row for row in points if row["arm"] == "one" and row["real_per_class"] == "3"]
    assert float(point["mean"]) == pytest.approx(sum(found) / 2)
    rows = table(tmp_path / "u/differences.csv")
    assert list(rows[0]) == ["arm", "against", "real_per_class", "difference", "low", "high"]
    pairs = [(row["arm"], row["against"], row["real_per_class"]) for row in rows]
    at_three = [("one", "real only", "3"), ("other", "real only", "3"), ("other", "one", "3")]
    assert pairs == [("other", "one", "0"), *at_three]
    for row in rows:
        if row["against"] == "one":  # the same generator twice: paired arms do not differ at all
            assert (row["difference"], row["low"], row["high"]) == ("0.0", "0.0", "0.0")
    assert Image.open(tmp_path / "u/curve.png").size[0] > 500
    record = json.loads((tmp_path / "u/utility.json").read_text())
    sha256 = json.loads((run / "summary.json").read_text())["generator_sha256"]
    assert record["generators"] == {"one": sha256, "other": sha256}
    assert record["data"]["test"] == json.loads((run / "run.json").read_text())["dataset"]["test"]["sha256"]
    assert record["settings"]["seeds"] == [0, 1]
    assert "torch" in record["versions"]
    shown = capsys.readouterr().out
    assert shown.strip().endswith("curve.png")
    assert f"{float(point['mean']):.3f} ± {float(point['std']):.3f}" in shown


def test_f26_stdout_has_the_table_and_the_path_alone(run: Path, tmp_path: Path) -> None:
    """As a user's first command, when matplotlib looks for fonts and says so."""
    command = [sys.executable, "-m", "fedgan.utility", f"run={run}", *QUICK, "real_per_class=[1]", "seeds=[0]"]
    environment = os.environ | {"MPLCONFIGDIR": str(tmp_path / "fonts")}
    done = subprocess.run(
        [*command, f"hydra.run.dir={tmp_path / 'u'}"], env=environment, capture_output=True, text=True, check=True
    )
    assert list((tmp_path / "fonts").iterdir()), "matplotlib has looked for fonts"
    lines = done.stdout.splitlines()
    assert lines[0].startswith("chest_phantom, 6 synthetic images per class")
    assert lines[-1] == str(tmp_path / "u/curve.png")
    assert "training classifiers" in done.stderr
    assert "font" not in done.stdout + done.stderr


def test_the_same_seeds_give_the_same_results(call: Call, run: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        call(utility.main, f"run={run}", *QUICK, f"hydra.run.dir={tmp_path / name}")
        torch.manual_seed(5)
    assert timeless(tmp_path / "a/results.csv") == timeless(tmp_path / "b/results.csv")
    for name in ("curve.csv", "differences.csv"):
        assert (tmp_path / "a" / name).read_text() == (tmp_path / "b" / name).read_text()
    assert {row["arm"] for row in table(tmp_path / "a/results.csv")} == {"real only", "real + synthetic"}


@pytest.fixture
def fits_made(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows by one with each fit; Ctrl-C comes in the midst of the fourth."""
    made: list[int] = []
    fit, step = ClassifierRecipe.fit, ImageClassifier.training_step

    def counted(self: ClassifierRecipe, images: ImageSet, seed: int) -> ImageClassifier:
        made.append(seed)
        return fit(self, images, seed)

    def interrupted(self: ImageClassifier, batch: Any, batch_idx: int) -> Tensor:
        if len(made) == 4 and batch_idx == 1:
            raise KeyboardInterrupt
        return step(self, batch, batch_idx)

    monkeypatch.setattr(ClassifierRecipe, "fit", counted)
    monkeypatch.setattr(ImageClassifier, "training_step", interrupted)
    return made


def test_an_interrupted_study_resumes(
    call: Call, run: Path, tmp_path: Path, fits_made: list[int], capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = (f"run={run}", *QUICK, f"hydra.run.dir={tmp_path / 'u'}")
    with pytest.raises(SystemExit) as stop:
        call(utility.main, *arguments)
    assert stop.value.code == INTERRUPTED
    again = f"to continue: the same command with hydra.run.dir={tmp_path / 'u'}"
    assert capsys.readouterr().err.splitlines()[-1] == f"stopped after 3 of 8 fits; {again}"
    assert len(table(tmp_path / "u/results.csv")) == 3
    early = table(tmp_path / "u/results.csv")
    call(utility.main, *arguments)
    assert len(fits_made) == 4 + 5, "three of eight were there"
    results = table(tmp_path / "u/results.csv")
    assert results[:3] == early
    assert len(results) == 8
    call(utility.main, *arguments)
    assert len(fits_made) == 9, "a finished study only shows its curve again"
    call(utility.main, f"run={run}", *QUICK, "seeds=[0,1,2]", f"hydra.run.dir={tmp_path / 'u'}")
    assert len(fits_made) == 9 + 4, "a further seed needs its own fits alone"
    call(utility.main, f"run={run}", *QUICK, f"hydra.run.dir={tmp_path / 'fresh'}")
    assert timeless(tmp_path / "fresh/results.csv") == [{k: v for k, v in r.items() if k != "seconds"} for r in results]


def test_fits_made_otherwise_are_refused(
    call: Call, run: Path, run_of: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    quick = (*QUICK, "real_per_class=[1]", "seeds=[0]", f"hydra.run.dir={tmp_path / 'u'}")
    call(utility.main, f"run={run}", *quick)
    kept = (tmp_path / "u/results.csv").read_text()
    for change, name in (
        ((f"run={run}", "synthetic_per_class=7"), "synthetic_per_class"),
        ((f"run={run}", "test_per_class=4"), "test_per_class"),
        ((f"run={run}", "classifier.decay=0.5"), "classifier"),
        ((f"run={run_of('control', 'fl.malicious=0')}",), "generator of real + synthetic"),
    ):
        message = refusal(call, capsys, utility.main, *quick, *change)
        assert f"hydra.run.dir must be a folder without fits of another {name}; got" in message
    assert (tmp_path / "u/results.csv").read_text() == kept


def test_without_a_trigger_the_transfer_rate_is_empty(call: Call, run_of: Callable[..., Path], tmp_path: Path) -> None:
    plain = run_of("plain", "attack=none")
    call(utility.main, f"run={plain}", *QUICK, "seeds=[0]", f"hydra.run.dir={tmp_path / 'u'}")
    assert {row["transfer_attack_rate"] for row in table(tmp_path / "u/results.csv")} == {""}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), ("run or runs", "one of them", "run=None and runs=None")),
        (("run=RUN", "runs={a: RUN}"), ("run or runs", "not both")),
        (("runs={}",), ("runs", "{name: PATH}")),
        (("runs=RUN",), ("runs", "{name: PATH}")),
        (("runs={real only: RUN}",), ("runs must be", "other than 'real only'", "got {'real only': ")),
        (("runs={a/b: RUN}",), ("runs must be", "a folder can have", "got {'a/b': ")),
        (("run=nowhere",), ("run", "finished run", "nowhere")),
        (("runs={a: RUN, b: OTHER}",), ("runs.b must be a run on the same data set", "training and test", "OTHER")),
        (("run=RUN", "root=elsewhere"), ("root", "drawn, not read", "elsewhere")),
        (("run=RUN", "real_per_class=[]"), ("real_per_class", "at least one")),
        (("run=RUN", "real_per_class=3"), ("real_per_class", "a list", "3")),
        (("run=RUN", "real_per_class=[-1]"), ("real_per_class", "at least 0", "-1")),
        (("run=RUN", "real_per_class=[1,1]"), ("real_per_class", "each once", "[1, 1]")),
        (("run=RUN", "real_per_class=[1,33]"), ("real_per_class", "at most 32", "class normal", "33")),
        (("run=RUN", "seeds=[]"), ("seeds", "at least one")),
        (("run=RUN", "seeds=[0,a]"), ("seeds", "whole number", "'a'")),
        (("run=RUN", "seeds=[2,2]"), ("seeds", "each once", "[2, 2]")),
        (("run=RUN", "synthetic_per_class=0"), ("synthetic_per_class", "at least 1", "0")),
        (("run=RUN", "test_per_class=17"), ("test_per_class", "at most 16", "17")),
        (("run=RUN", "classifier.epochs=0"), ("classifier.epochs", "at least 1", "0")),
        (("run=RUN", "classifier.eqochs=3"), ("classifier.eqochs is not a setting", "epochs")),
        (("run=RUN", "classifier=resnet"), ("resnet", "densenet121_isic", "small_cnn")),
        (("run=RUN", "accelerator=tpu"), ("accelerator", "cpu, cuda", "tpu")),
    ],
    ids=lambda part: ",".join(part) if isinstance(part, tuple) else part,
)
def test_bad_input(
    call: Call,
    run: Path,
    run_of: Callable[..., Path],
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    arguments: Sequence[str],
    words: Sequence[str],
) -> None:
    places = {
        "RUN": str(run),
        "OTHER": str(run_of("other_data", "dataset.seed=1")) if "OTHER" in str(arguments) else "",
    }
    for name, place in places.items():
        arguments = [argument.replace(name, place) for argument in arguments]
        words = [word.replace(name, place) for word in words]
    message = refusal(call, capsys, utility.main, *arguments, f"hydra.run.dir={tmp_path / 'u'}")
    assert all(word in message for word in words), message
    assert not list(tmp_path.rglob("*.csv"))
