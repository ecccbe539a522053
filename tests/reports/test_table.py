"""Runs as one table: values by hand, from folders written by the test."""

import json
from pathlib import Path
from typing import Any

import pytest

from fedgan.config.resume import FILES
from fedgan.reports.run import Run
from fedgan.reports.table import DATA, PLACES, chosen, runs_table, setting, settings_of, spread, varying
from tests.helpers.reports import FEDDETECT, NO_ATTACK, SQUARE, run_of

UNIFORM, NUM_EXAMPLES = ({"_target_": f"fedgan.federated.weighting.{name}"} for name in ("Uniform", "NumExamples"))
SGD = {"_target_": "torch.optim.SGD", "lr": 1.0}


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


def two(folder: Path, one: dict[str, Any], other: dict[str, Any]) -> list[Run]:
    return [run_of(folder / name, {}, **settings) for name, settings in (("a", one), ("b", other))]


DIFFERENT = {
    "one module": ({"fl": {"weighting": UNIFORM}}, {"fl": {"weighting": NUM_EXAMPLES}}, "fl.weighting"),
    "another package": (
        {"attack": {"_target_": "my_lab.white_square.WhiteSquare"}},
        {"attack": {"_target_": "fedgan.attacks.white_square.WhiteSquare"}},
        "attack",
    ),
    "a base class of one's own": (
        {"attack": {"_target_": "my_lab.base.Stripes"}},
        {"attack": {"_target_": "my_lab.base.Dots"}},
        "attack",
    ),
    "set in one alone": (
        {"fl": {"server_optimizer": SGD}},
        {"fl": {"server_optimizer": SGD | {"momentum": 0.9}}},
        "fl.server_optimizer.momentum",
    ),
    "a mapping in one alone": (
        {"dataset": {"_target_": "fedgan.datasets.image_folder.ImageFolder", "columns": None}},
        {"dataset": {"_target_": "fedgan.datasets.image_folder.ImageFolder", "columns": {"class": "dx"}}},
        "dataset.columns.class",
    ),
    "precision": ({"trainer": {"precision": "32-true"}}, {"trainer": {"precision": "bf16-mixed"}}, "trainer.precision"),
}


@pytest.mark.parametrize(("one", "other", "key"), DIFFERENT.values(), ids=DIFFERENT)
def test_methods_that_look_alike_are_no_seeds(
    one: dict[str, Any], other: dict[str, Any], key: str, tmp_path: Path
) -> None:
    runs = two(tmp_path, one, other)
    assert varying(runs) == [key]
    assert len(set(settings_of(runs, key))) == 2, "a table by this setting has a row for each"


def test_names_are_as_long_as_they_need_to_be(tmp_path: Path) -> None:
    targets = ("fedgan.attacks.base.Attack", "fedgan.attacks.white_square.WhiteSquare", "my_lab.attacks.WhiteSquare")
    runs = [run_of(tmp_path / each, {}, attack={"_target_": each}) for each in targets]
    assert settings_of(runs[:2], "attack") == ["none", "white_square"]
    assert settings_of(runs, "attack") == ["none", "white_square", "WhiteSquare"]
    other = run_of(tmp_path / "other", {}, attack={"_target_": "my_lab.white_square.WhiteSquare"})
    assert settings_of([*runs[:2], other], "attack") == ["none", targets[1], "my_lab.white_square.WhiteSquare"]
    assert settings_of(two(tmp_path, {"fl": {"weighting": UNIFORM}}, {"fl": {}}), "fl.weighting") == ["Uniform", None]


def test_not_set_is_null(tmp_path: Path) -> None:
    """As in runs of a version before the setting was there."""
    old, new = {"server_optimizer": SGD}, {"server_optimizer": SGD | {"foreach": None}}
    assert varying(two(tmp_path, {"fl": old}, {"fl": new})) == []


def of_data(folder: Path, sha256: str | None, **settings: Any) -> Run:
    run = run_of(folder, {}, dataset={"_target_": "fedgan.datasets.image_folder.ImageFolder"} | settings)
    if sha256 is not None:
        data = {part: {"sha256": f"{sha256} {part}"} for part in ("train", "test")}
        (folder / "run.json").write_text(json.dumps({"status": "finished", "dataset": data}))
    return run


def test_where_the_data_lie_does_not_count_but_which_they_are(tmp_path: Path) -> None:
    here, moved, other = (
        of_data(tmp_path / name, sha256, root=f"/data/{name}", cache_dir=f"/cache/{name}")
        for name, sha256 in (("here", "x"), ("moved", "x"), ("other", "y"))
    )
    assert varying([here, moved]) == []
    assert varying([here, moved, other]) == ["dataset.root"]
    large = of_data(tmp_path / "large", "z", root="/data/here", cache_dir=None, image_size=64)
    larger = of_data(tmp_path / "larger", "w", root="/data/moved", cache_dir=None, image_size=128)
    assert varying([large, larger]) == ["dataset.image_size"], "other settings are what made the images others"
    unread = of_data(tmp_path / "unread", None, root="/data/unread", cache_dir=None)
    assert varying([here, unread]) == [], "it ended before it had read any"
    assert varying([unread, of_data(tmp_path / "unknown", None, root="/data")]) == ["dataset.root"]


def test_places_are_those_that_resuming_knows() -> None:
    """Weights and a measured spread are files, too, but what is in them decides."""
    assert {*FILES} - {*PLACES, *DATA} == {"root", "metrics.*.weights", "defense.*.spread"}
    assert {*PLACES, *DATA} < {*FILES}


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
