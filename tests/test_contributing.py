"""The examples of CONTRIBUTING.md, as a reader would type them: each is trained with and leaves a trace."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fedgan import evaluate, train
from tests.helpers.federation import TINY
from tests.helpers.runs import own_package, rows

GUIDE = Path(__file__).parents[1] / "CONTRIBUTING.md"
BLOCK = re.compile(r"```(?:python|yaml)\n# (\S+\.(?:py|yaml))\n(.*?)```", re.DOTALL)
FILES = dict(BLOCK.findall(GUIDE.read_text()))
GROUPS = {"attack", "update_attack", "defense", "fl/weighting", "partition", "dataset", "model", "metrics"}


@pytest.fixture
def my_lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return own_package(tmp_path, FILES, monkeypatch)


@pytest.fixture
def trained(call: Callable[..., Any], my_lab: Path) -> Callable[..., Path]:
    """Train with an example of one group next to the tiny settings of all others."""

    def run(choice: str, *settings: str) -> Path:
        group = choice.partition("=")[0]
        others = [each for each in TINY if not each.startswith((f"{group}=", f"{group}."))]
        call(train.main, "--config-dir=my_conf", *others, choice, *settings, "hydra.run.dir=run")
        return my_lab / "run"

    return run


def test_there_is_an_example_for_each_group() -> None:
    assert {str(Path(name).relative_to("my_conf").parent) for name in FILES if name.endswith(".yaml")} == GROUPS


def test_an_attack(trained: Callable[..., Path]) -> None:
    run = trained("attack=gray_square")
    (report,) = json.loads((run / "run.json").read_text())["poison_reports"]
    assert report["images_changed"] == 16
    assert report["share_changed"] == pytest.approx(16 / 1024, rel=0.05), "some pixels are of that gray already"


def test_an_attack_on_updates(trained: Callable[..., Path]) -> None:
    found = {row["measure"]: float(row["value"]) for row in rows(trained("update_attack=sign_flip") / "receipts.csv")}
    assert found["cosine"] == pytest.approx(-1.0, abs=1e-6)
    assert found["relative_norm"] == pytest.approx(2.0, abs=1e-5)


def test_a_defense(trained: Callable[..., Path]) -> None:
    receipts = rows(trained("defense=clip") / "receipts.csv")
    assert {(row["component"], row["measure"], row["value"]) for row in receipts} == {
        ("defense.clip", "acted", "1.0"),
        ("defense.clip", "clipped", "4"),
    }


def test_what_it_declares_is_checked(trained: Callable[..., Path]) -> None:
    with pytest.raises(SystemExit, match=r"^error: defense.clip.norm must be a number in .0, inf.; got 0$"):
        trained("defense=clip", "defense.clip.norm=0")


def test_weights(trained: Callable[..., Path]) -> None:
    run = trained("fl/weighting=by_root", "fl.num_clients=3")
    weights = {row["num_examples"]: float(row["weight"]) for row in rows(run / "clients.csv")}
    assert weights["22"] / weights["21"] == pytest.approx((22 / 21) ** 0.5)


def test_a_partition(trained: Callable[..., Path]) -> None:
    record = json.loads((trained("partition=by_class") / "run.json").read_text())
    assert record["partition"] == {"normal": [16, 16, 0, 0], "pneumonia": [0, 0, 16, 16]}


def test_a_data_set(trained: Callable[..., Path]) -> None:
    record = json.loads((trained("dataset=stripes") / "run.json").read_text())
    assert record["dataset"]["train"]["counts"] == {"along": 32, "across": 32}


def test_a_generator_and_a_metric_of_a_finished_run(trained: Callable[..., Path], call: Callable[..., Any]) -> None:
    run = trained("model=linear", "model.discriminator.base_channels=4", "metrics=[brightness]")
    during = json.loads((run / "summary.json").read_text())["metrics"]["brightness"]
    assert 0 < during < 255
    scoring = ("metrics=[brightness]", "samples_per_class=8", "trust=[my_lab]")
    call(evaluate.main, "--config-dir=my_conf", "run=run", *scoring)
    after = json.loads((run / "evaluation.json").read_text())["metrics"]["brightness"]
    assert after == pytest.approx(during), "the same latents, the same generator"
