"""Runs as one table: values by hand, from folders written by the test."""

import json
from pathlib import Path

import pytest

from fedgan.reports.table import chosen, runs_table, setting, spread, varying
from tests.helpers.reports import FEDDETECT, NO_ATTACK, SQUARE, run_of


def test_a_setting_is_a_value_or_what_is_chosen(tmp_path: Path) -> None:
    run = run_of(
        tmp_path / "a", {}, defense=FEDDETECT | {"median": {"_target_": "fedgan.defenses.robust.median.Median"}}
    )
    assert [
        setting(run, key) for key in ("attack", "attack.size", "defense", "defense.feddetect.warmup", "fl.rounds")
    ] == [
        "white_square",
        8,
        "feddetect+median",
        10,
        20,
    ]
    other = run_of(tmp_path / "b", {}, attack=NO_ATTACK)
    assert [setting(other, key) for key in ("attack", "attack.size", "defense", "fl.no.such")] == [
        "none",
        None,
        "none",
        None,
    ]
    assert chosen("my_lab.attacks.gray_square.GraySquare") == "gray_square"


def test_what_varies(tmp_path: Path) -> None:
    """The seed, places and devices do not count; a setting that only some have counts where these differ."""
    one = run_of(tmp_path / "a", {}, seed=1, trainer={"devices": 2})
    two = run_of(tmp_path / "b", {}, attack=SQUARE | {"size": 4}, defense=FEDDETECT, name="other")
    three = run_of(tmp_path / "c", {}, attack=NO_ATTACK)
    assert varying([one, two]) == ["attack.size", "defense"]
    assert varying([one, three]) == ["attack"]
    assert varying([one]) == []


def test_one_row_per_run(tmp_path: Path) -> None:
    runs = [
        run_of(tmp_path / "a", {"emission": 0.9}),
        run_of(tmp_path / "b", {"emission": 0.5}, seed=3, defense=FEDDETECT),
        run_of(tmp_path / "c", None, seed=4, defense=FEDDETECT),
    ]
    table = runs_table(runs)
    assert list(table.columns) == ["run", "status", "seconds", "seed", "defense", "emission", "effective_clients"]
    assert table["defense"].tolist() == ["none", "feddetect", "feddetect"]
    assert table["status"].tolist() == ["finished", "finished", "failed"]
    assert table["emission"].tolist()[:2] == [0.9, 0.5]
    assert table["emission"].isna().tolist() == [False, False, True]
    with pytest.raises(ValueError, match=r"^no run has the setting attack.sise; those that vary are: defense$"):
        runs_table(runs, ["attack.sise"])
    assert runs_table(runs, ["attack.size"])["attack.size"].tolist() == [8, 8, 8]


def test_a_later_evaluation_replaces_the_metrics_of_training(tmp_path: Path) -> None:
    run = run_of(tmp_path / "a", {"emission": 0.9, "frechet_classifier": 70.0})
    (run.folder / "evaluation.json").write_text(json.dumps({"metrics": {"emission": 0.8}}))
    (row,) = runs_table([run]).to_dict("records")
    assert (row["emission"], row["frechet_classifier"]) == (0.8, 70.0)


def test_mean_spread_and_number_by_hand(tmp_path: Path) -> None:
    emissions = {"a": (0.2, {}), "b": (0.4, {}), "c": (0.5, FEDDETECT), "d": (None, FEDDETECT)}
    runs = [
        run_of(tmp_path / name, None if value is None else {"emission": value}, defense=defense)
        for name, (value, defense) in emissions.items()
    ]
    table = spread(runs_table(runs), ["defense"], ["emission"])
    assert table["defense"].tolist() == ["feddetect", "none"]
    assert table["emission_mean"].tolist() == pytest.approx([0.5, 0.3])
    assert table["emission_std"].tolist()[1] == pytest.approx(0.1 * 2**0.5)  # sqrt(((0.1)^2 + (0.1)^2) / 1)
    assert table["emission_std"].isna().tolist() == [True, False]
    assert table["emission_n"].tolist() == [1, 2]
