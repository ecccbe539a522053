"""Pairs of runs, evaluation by evaluation: verdicts by the rule that was written down before the runs."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from omegaconf import DictConfig

from experiments import quality
from experiments.measures import read_rows
from experiments.paper.writing import write_csv
from fedgan import load
from fedgan.config import training


def rows_of(arm: str, seed: int, distances: list[float], diversity: float, emission: float) -> list[quality.Row]:
    last = {"diversity": diversity, "emission": emission}
    return [
        {"arm": arm, "seed": seed, "round": 6 * place + 5, "frechet_classifier": value, **last}
        for place, value in enumerate(distances)
    ]


def test_verdicts_by_hand() -> None:
    """Seed 1: medians of the last four 75 and 95, 1.27 times; seed 2: 1.25 times, which is not more; 3 has no pair."""
    rows = [
        *rows_of("attack", 1, [10, 95, 95, 95, 300], 0.9, 0.51),
        *rows_of("attack", 2, [100, 100, 100, 100], 0.8, 0.5),
        *rows_of("attack", 3, [1, 1, 1, 1], 1, 1),
        *rows_of("vanilla", 1, [900, 60, 100, 80, 70], 0.31, 0),
        *rows_of("vanilla", 2, [80, 80, 80, 80], 0.3, 0),
    ]
    first, second = quality.verdicts(rows)
    assert first == {
        "seed": "1",
        "rounds": "30",
        "vanilla's Frechet distance": "75.0",
        "attacked": "95.0",
        "ratio": "1.27, ruined",
        "vanilla's diversity": "0.31",
        "attacked's diversity": "0.90",
        "images with the trigger": "0.510, painted",
    }
    assert second["ratio"] == "1.25, not ruined"
    assert second["vanilla's diversity"] == "0.30, collapsed"
    assert second["images with the trigger"] == "0.500, not painted"


@pytest.fixture
def folder(configure: Callable[..., DictConfig], tmp_path: Path) -> Path:
    """Two arms with one seed, evaluated in rounds 1 and 2 of three, and what is none of theirs."""
    for arm, malicious in (("vanilla", 0), ("attack", 1)):
        settings = [f"fl.malicious={malicious}", "fl.rounds=3", "evaluation.every=2", "seed=7"]
        settings += [f"metrics.{name}.classifier.steps=3" for name in ("frechet", "diversity")]
        cfg = configure("metrics=[emission,frechet,diversity]", *settings)
        training.train(cfg, tmp_path / "arms" / f"{arm}-seed_7")
    (tmp_path / "arms/attack-seed_8").mkdir()  # stopped before its first round
    (tmp_path / "arms/feddetect-seed_7").mkdir()
    return tmp_path / "arms"


def test_rows_of_runs_and_everything_again_from_them(folder: Path, tmp_path: Path) -> None:
    results = tmp_path / "results"
    files = quality.carry_out([folder], results)
    rows = read_rows(results / "evaluations.csv")
    assert [(row["arm"], row["seed"], row["round"]) for row in rows] == [
        *(("attack", "7", "1"), ("attack", "7", "2"), ("vanilla", "7", "1"), ("vanilla", "7", "2"))
    ]
    run = load(folder / "vanilla-seed_7")
    evaluated = run.rounds.dropna(subset=["frechet_classifier"])
    real = [value for name, value in run.summary["facts"]["diversity"].items() if name.startswith("diversity_real/")]
    for row, (_, own) in zip(rows[2:], evaluated.iterrows(), strict=True):
        assert float(row["frechet_classifier"]) == own["frechet_classifier"]
        assert float(row["emission"]) == own["emission"]
        assert float(row["diversity"]) == pytest.approx(own["diversity"] * len(real) / sum(real))
    before = {file.name: file.read_bytes() for file in files}
    assert set(before) == {"evaluations.csv", "quality.md", "quality.png", "quality.pdf"}
    shutil.rmtree(folder)
    assert {file.name: file.read_bytes() for file in quality.carry_out([], results)} == before, "without the runs"


def test_a_run_made_anew_replaces_all_rows_of_the_old_one(folder: Path, tmp_path: Path) -> None:
    results = tmp_path / "results"
    write_csv(results / "evaluations.csv", rows_of("attack", 7, [1, 2, 3], 1, 1))
    (results / ".fedgan.json").write_text('{"files": ["evaluations.csv"]}')
    quality.carry_out([folder], results)
    rounds = [row["round"] for row in read_rows(results / "evaluations.csv") if row["arm"] == "attack"]
    assert rounds == ["1", "2"], "not 5, 11 and 17 as well"


def test_a_run_without_a_metric_is_refused_in_one_line(configure: Callable[..., DictConfig], tmp_path: Path) -> None:
    cfg = configure("metrics=[emission,frechet]", "fl.rounds=1", "metrics.frechet.classifier.steps=3")
    training.train(cfg, tmp_path / "vanilla-seed_0")
    with pytest.raises(
        ValueError, match=r"vanilla-seed_0 must be a run with metrics=\[emission,frechet,diversity\]; got 'no d"
    ):
        list(quality.evaluations(tmp_path))


def test_a_curve_for_each_run_and_a_panel_for_each_metric() -> None:
    rows = [*rows_of("attack", 1, [10, 20], 0.9, 0.5), *rows_of("attack", 2, [30, 40], 0.8, 0.6)]
    figure = quality.draw([*rows, *rows_of("vanilla", 1, [5, 6], 1, 0)])
    assert [axis.get_title() for axis in figure.axes] == list(quality.METRICS.values())
    drawn = [[list(line.get_ydata()) for line in axis.lines] for axis in figure.axes]
    assert drawn[0] == [[5, 6], [10, 20], [30, 40]]
    assert drawn[2] == [[0, 0], [0.5, 0.5], [0.6, 0.6]]
    assert figure.axes[0].get_yscale() == "log"


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([], "error: .*arms must be a folder with finished runs vanilla or attack-seed_<seed>; got 'none'"),
        (["attack-seed_7"], "error: FOLDER must be folders with vanilla and attack of one seed; got "),
    ],
)
def test_folders_without_pairs_are_refused(
    names: list[str], message: str, folder: Path, call: Callable[..., object], tmp_path: Path
) -> None:
    for run in list(folder.iterdir()):
        if run.name not in names:
            shutil.rmtree(run)
    with pytest.raises(SystemExit, match=message):
        call(quality.main, str(folder), "--results", str(tmp_path / "results"))
    assert not (tmp_path / "results").exists()
