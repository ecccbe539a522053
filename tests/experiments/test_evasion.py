"""The study of evasion: a row by hand from two made-up runs, the picture's points, and a tiny study that resumes."""

import csv
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from omegaconf import DictConfig

from experiments import evasion
from experiments.evasion import Arm, Cell
from fedgan.config import training
from fedgan.config.refusals import Interrupted
from tests.helpers.federation import TINY

RECEIPTS = (  # round, component, client, measure, value; client 3 and 1 attack
    (0, "update_attack", 3, "error_last", 99.0),
    (1, "defense.generator_audit", 3, "place_score", 50.0),  # in the warm-up
    (2, "defense.generator_audit", "", "threshold", 10.0),
    (2, "defense.generator_audit", 3, "place_score", 4.0),
    (2, "defense.generator_audit", 3, "place_row", 31.0),
    (2, "defense.generator_audit", 1, "spectrum_score", 7.5),
    (2, "defense.generator_audit", 0, "place_score", 12.0),  # honest
    (3, "defense.generator_audit", 3, "classes_score", 6.0),
)


def write_run(folder: Path, emission: float, flagged: set[tuple[int, int]]) -> Path:
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text("defense: {generator_audit: {warmup: 2}}\n")
    (folder / "run.json").write_text('{"status": "finished"}')
    (folder / "summary.json").write_text(json.dumps({"metrics": {"emission": emission}}))
    clients = [f"{t},{i},{int(i in (1, 3))},{int((t, i) in flagged)}" for t in range(4) for i in range(4)]
    (folder / "clients.csv").write_text("\n".join(["round,client,malicious,flagged", *clients]) + "\n")
    receipts = [",".join(map(str, row)) for row in RECEIPTS]
    (folder / "receipts.csv").write_text("\n".join(["round,component,client,measure,value", *receipts]) + "\n")
    return folder


def test_a_row_by_hand(tmp_path: Path) -> None:
    cell = Cell("spread", 8, 2, seed=5)
    write_run(cell.run(tmp_path, acting=False), 0.9, set())
    write_run(cell.run(tmp_path, acting=True), 0.25, {(2, 0), (3, 0), (3, 3), (3, 1)})
    write_run(Cell("share", 8, 1, seed=5).run(tmp_path, acting=False), 0.9, set())  # the other run is missing
    assert evasion.rows_of(tmp_path, [cell, Cell("share", 8, 1, seed=5), Cell("hide", 8, 0, seed=5)]) == [
        {
            "arm": "spread",
            "setting": "fl.malicious=2",
            "size": 8,
            "seed": 5,
            "emission": 0.9,
            "emission_audited": 0.25,
            "score": 7.5,
            "lowest_score": 6.0,
            "honest_score": 12.0,
            "threshold": 10.0,
            "first_flagged": 3,
            "honest_flags": 2,
        }
    ]


def test_a_run_that_was_finished_and_is_being_extended_has_no_row(tmp_path: Path) -> None:
    """Its summary.json is of its former end, its tables have more rounds."""
    cell = Cell("share", 8, 1, seed=5)
    _, acting = (write_run(cell.run(tmp_path, acting=acts), 0.9, set()) for acts in (False, True))
    assert len(evasion.rows_of(tmp_path, [cell])) == 1
    (acting / "run.json").write_text('{"status": "failed"}')
    assert evasion.rows_of(tmp_path, [cell]) == []


def test_a_signal_ends_the_study_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(*_: object) -> int:
        raise Interrupted("stopped; the same command resumes")

    monkeypatch.setattr(evasion, "train", stopped)
    assert study(tmp_path / "out", monkeypatch) == "stopped; the same command resumes"


def test_nobody_flagged_leaves_the_round_empty(tmp_path: Path) -> None:
    runs = [write_run(tmp_path / name, 0.5, set()) for name in ("looking", "acting")]
    row = evasion.row_of(Cell("hide", 2, 10, seed=0), *runs)
    assert (row["setting"], row["first_flagged"], row["honest_flags"]) == ("update_attack.weight=10", "", 0)


def test_a_summary_by_hand() -> None:
    numbers = ((0.5, 2.0, 1.0, 0.25, 7), (0.75, 3.0, 0.5, 0.25, ""), (0.625, 1.0, 0.75, 0.25, 4))
    names = ("emission", "lowest_score", "honest_score", "emission_audited", "first_flagged")
    rows = [
        {"arm": "start", "setting": "attack.start=5", "size": 8, "seed": seed, "threshold": 8.0}
        | dict(zip(names, values, strict=True))
        for seed, values in enumerate(numbers)
    ]
    other = {**rows[0], "setting": "attack.start=9", "first_flagged": ""}
    first, second = evasion.summary_of([*rows, other])
    assert list(first.values()) == [
        *("start", "attack.start=5, 8 px", "0.500 to 0.750", "1.0 to 3.0", "0.5 to 1.0", "8.0"),
        *("2 of 3, from round 4, 7", "0.250"),
    ]
    assert (second["setting"], second["flagged in"]) == ("attack.start=9, 8 px", "0 of 1")


def made_up(arm: str, size: int, score: float, emission: float, audited: float) -> dict[str, object]:
    return {
        "arm": arm,
        "size": size,
        "score": score,
        "threshold": 10.0,
        "emission": emission,
        "emission_audited": audited,
    }


def test_the_picture_has_two_points_a_row_a_color_per_arm_and_a_shape_per_size() -> None:
    rows = [made_up("share", 2, 5.0, 0.6, 0.5), made_up("hide", 8, 20.0, 0.9, 0.1), made_up("share", 8, 0.0, 0.3, 0.3)]
    (axes,) = evasion.picture(rows).axes
    points = [line for line in axes.lines if line.get_marker() not in ("None", None, "")]
    found = [(line.get_xdata()[0], line.get_ydata()[0]) for line in points]  # type: ignore[index]
    assert found == [(0.5, 0.6), (0.5, 0.5), (2.0, 0.9), (2.0, 0.1), (0.0, 0.3), (0.0, 0.3)]
    colors = [line.get_color() for line in points[::2]]
    assert colors[0] == colors[2] != colors[1]
    assert [line.get_marker() for line in points[::2]] == ["o", "s", "s"]
    hollow = [line.get_markerfacecolor() == "none" for line in points]
    assert hollow == 3 * [False, True]


def test_a_trigger_has_as_many_parts_as_pixels_at_most() -> None:
    assert [cell.value for cell in evasion.cells(["spread"], [2, 3, 8], [0])] == [2, 2, 3, 2, 3, 4]
    assert len(evasion.cells(["hide", "start"], [2], [0, 1])) == 2 * (6 + 3)


def study(out: Path, monkeypatch: pytest.MonkeyPatch, *more: str) -> Any:
    monkeypatch.setattr(sys, "argv", ["evasion", str(out), *more])
    with pytest.raises(SystemExit) as exit_:
        evasion.main()
    return exit_.value.code


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (("--arms", "share,vanish"), "each of --arms must be one of share, start, spread, crowd, hide; got 'vanish'"),
        (("--sizes", "0"), "--sizes must be 1 to 5 numbers above 0; got '0'"),
        (("--sizes", "2,99"), "--sizes must be at most 31, what the images leave next to the margin; got 99"),
        (("--tables",), "OUT must be a folder with evasion.csv as this command writes it; got '{out}'"),
        (("--seeds", "x"), "seeds must be a list of at least one whole number of at least 0, each once; got ['x']"),
        (("fl.rounds=3,4",), "overrides must be settings with one value each; got ['fl.rounds=3,4']"),
    ],
)
def test_refusals(typed: tuple[str, ...], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert study(tmp_path / "out", monkeypatch, *typed) == f"error: {said.format(out=tmp_path / 'out')}"
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("fl.roundz=3", "fl.roundz is not a setting; fl has: "),
        ("fl.rounds=0", "fl.rounds must be a whole number of at least 1; got 0"),
        ("dataset=chestz", "dataset=chestz is not one of the choices; dataset has: "),
        ("fl.rounds", "settings are typed as name=value; got 'fl.rounds'"),
    ],
)
def test_e9_a_wrong_override_is_one_line_before_any_run(
    typed: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    code = study(tmp_path / "out", monkeypatch, typed)
    assert code.startswith(f"error: {said}")
    assert "\n" not in code
    assert capfd.readouterr() == ("", ""), "nothing is started"
    assert not (tmp_path / "out").exists()


def test_a_dry_run_trains_nothing_and_says_what_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for acts in (False, True):
        write_run(Cell("start", 8, 5, seed=1).run(tmp_path, acting=acts), 0.9, set())
    typed = ("--arms", "start", "--sizes", "8", "--seeds", "0,1", "--dry-run")
    monkeypatch.setattr(sys, "argv", ["evasion", str(tmp_path), *typed])
    evasion.main()
    assert capsys.readouterr().out == "12 runs, 10 left\n"
    assert {path.name for path in tmp_path.iterdir()} == {"looking", "acting"}


def test_tables_are_made_again_from_rows_that_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    row = made_up("start", 8, 5.0, 0.6, 0.5) | {"setting": "attack.start=5", "seed": 0, "first_flagged": ""}
    with (tmp_path / "evasion.csv").open("w") as file:
        writer = csv.DictWriter(file, row)
        writer.writeheader()
        writer.writerow(row)
    before = (tmp_path / "evasion.csv").read_bytes()
    monkeypatch.setattr(sys, "argv", ["evasion", str(tmp_path), "--tables"])
    evasion.main()
    assert (tmp_path / "evasion.csv").read_bytes() == before
    said = (tmp_path / "evasion.md").read_text().splitlines()[-1].split("|")[1:-1]
    numbers = ["0.600", "-", "-", "10.0", "0 of 1", "0.500"]  # the first version had no lowest and no honest score
    assert [cell.strip() for cell in said] == ["start", "attack.start=5, 8 px", *numbers]
    assert (tmp_path / "evasion.png").read_bytes().startswith(b"\x89PNG")


def test_a_folder_of_the_users_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    said = study(tmp_path, monkeypatch)
    assert said == f"error: OUT must be a new or empty folder; {tmp_path} contains notes.txt"


SMALL = [each for each in TINY if not each.startswith(("attack", "metrics", "logger", "fl.rounds"))]
SMALL += ["fl.rounds=3", "fl.malicious=[1]"]


def test_an_audit_that_looks_changes_nothing(
    configure: Callable[..., DictConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evasion, "ARMS", {"share": Arm("poisons a share", "attack.poison_share", (1,))})
    assert study(tmp_path / "out", monkeypatch, "--sizes", "8", *SMALL) == 0
    (row,) = csv.DictReader((tmp_path / "out" / "evasion.csv").open())
    assert (row["arm"], row["setting"], row["size"], row["seed"]) == ("share", "attack.poison_share=1", "8", "0")
    assert float(row["score"]) > 0
    assert "attack.poison_share=1, 8 px" in (tmp_path / "out" / "evasion.md").read_text()
    assert (tmp_path / "out" / "evasion.png").read_bytes().startswith(b"\x89PNG")
    preset = ("experiment=demo", "evaluation.every=1000000", "metrics=[emission]", "logger=none", *SMALL)
    plain = training.train(configure(*preset, "attack.size=8", "defense=none", tiny=False), tmp_path / "plain")
    looked = json.loads((tmp_path / "out/looking/share-size_8/1-seed_0/summary.json").read_text())
    assert looked["generator_sha256"] == plain["generator_sha256"]
    assert float(row["emission"]) == plain["metrics"]["emission"]


@pytest.mark.slow
def test_a_study_resumes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hide = Arm("penalty", "update_attack.weight", (0, 100), ("attack=white_square", "update_attack=audit_evasion"))
    monkeypatch.setattr(evasion, "ARMS", {"hide": hide})
    typed = ("--sizes", "8", *SMALL)
    assert study(tmp_path / "out", monkeypatch, *typed) == 0
    table = tmp_path / "out" / "evasion.csv"
    rows = list(csv.DictReader(table.open()))
    assert [row["setting"] for row in rows] == ["update_attack.weight=0", "update_attack.weight=100"]
    before = {run: run.read_bytes() for run in (tmp_path / "out").glob("*/hide-size_8/*/run.json")}
    assert len(before) == 4
    table.unlink()
    assert study(tmp_path / "out", monkeypatch, *typed) == 0
    assert {run: run.read_bytes() for run in before} == before
    assert list(csv.DictReader(table.open())) == rows
