"""Robust rules where nobody attacks: what is measured, and that conf/ says what was measured."""

import csv
import sys
from pathlib import Path

import numpy as np
import pytest

from experiments import defense_controls as study
from fedgan.config.refusals import CONF
from fedgan.defenses.base import Defense
from fedgan.defenses.robust.krum import Krum
from fedgan.defenses.robust.norm_clipping import NormClipping
from fedgan.defenses.robust.robust_learning_rate import RobustLearningRate

with (study.RESULTS / "controls.csv").open() as stream:
    RESULTS = list(csv.DictReader(stream))
RULES = sorted(study.robust_rules())


def test_every_robust_rule_of_conf_is_measured_at_every_size_that_it_stands() -> None:
    assert len(RULES) == 14
    measured = {(row["defense"], int(row["clients"])) for row in RESULTS}
    assert measured == {
        (name, n) for name, rule in study.robust_rules().items() for n in study.CLIENTS if study.ready(rule, n)
    }
    assert ("krum", 4) not in measured
    assert ("median", 4) in measured
    assert {(row["draws"], row["seed"]) for row in RESULTS} == {("1000", "0")}


@pytest.mark.parametrize("name", RULES)
def test_the_yaml_says_what_was_measured(name: str) -> None:
    said = [line for line in Path(CONF, "defense", f"{name}.yaml").read_text().splitlines() if "Control:" in line]
    assert said == [study.comment([row for row in RESULTS if row["defense"] == name])]


@pytest.mark.parametrize("name", RULES)
def test_a_few_draws_give_about_what_a_thousand_gave(name: str) -> None:
    row = [row for row in RESULTS if row["defense"] == name][-1]
    rule = study.robust_rules()[name]
    assert study.ready(rule, int(row["clients"]))
    few = study.simulate(rule, int(row["clients"]), 20, 1)
    assert few == pytest.approx({key: float(row[key]) for key in few}, abs=0.1)


@pytest.mark.parametrize(
    ("rule", "dropped", "length"),
    [(Defense(), 0.0, 1.0), (Krum(selected=1), 7 / 8, None), (NormClipping(bound=1e-3), 0.0, None)],
    ids=["none", "krum", "clipping"],
)
def test_what_is_measured_by_hand(rule: Defense, dropped: float, length: float | None) -> None:
    found = study.simulate(rule, 8, 3, 0)
    assert found["dropped"] == dropped
    if length is not None:
        assert (found["length"], found["along"]) == pytest.approx((length, length))
    if isinstance(rule, NormClipping):  # 0.001 over a mean of length sqrt(1 + 1/8)
        assert found["length"] == pytest.approx(0.00071, abs=5e-5)


def test_a_turned_step_is_as_long_and_goes_less_along_the_mean() -> None:
    found = study.simulate(RobustLearningRate(threshold=7), 8, 3, 0)
    assert found["length"] == pytest.approx(1.0)
    assert -1 < found["along"] < 0.9


def test_the_common_direction_is_half_of_each_update(monkeypatch: pytest.MonkeyPatch) -> None:
    """|mean delta| is 1 by sqrt(1 + 1/N): seen through a rule that takes one client's."""
    found = study.simulate(Krum(selected=1), 16, 10, 0)
    assert found["length"] == pytest.approx(np.sqrt(2 / (1 + 1 / 16)), rel=0.05)


def test_the_command_writes_its_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["command", "--draws=2", "--seed=3", f"--out={tmp_path / 'new'}"])
    monkeypatch.setattr(study, "robust_rules", lambda: {"krum": Krum(selected=1)})
    study.main()
    with (tmp_path / "new/controls.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [(row["defense"], row["clients"], row["draws"], row["seed"]) for row in rows] == [
        ("krum", "8", "2", "3"),
        ("krum", "16", "2", "3"),
    ]


@pytest.mark.parametrize("argument", ["--draws=0", "--seed=-1"])
def test_bad_arguments(argument: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["command", argument])
    with pytest.raises(SystemExit, match=f"^error: {argument.partition('=')[0]} must be a whole number of at least"):
        study.main()
