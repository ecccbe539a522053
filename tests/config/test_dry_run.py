"""``sweep.dry_run=true``: a sweep's runs are listed and checked, nothing is started and nothing written."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from fedgan import train
from fedgan.config import training
from tests.helpers.federation import TINY
from tests.helpers.runs import refusal

Call = Callable[..., Any]
PRINTED = pytest.CaptureFixture[str]
DRY = ("-m", *TINY, "hydra.sweep.dir=sweep", "sweep.dry_run=true")


def listed(call: Call, capsys: PRINTED, *typed: str) -> tuple[list[list[str]], str, object]:
    """The columns of each run's line, the last line, and the exit code."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as end:
        call(train.main, *(typed if "-m" in typed else (*DRY, *typed)))
    out, err = capsys.readouterr()
    rows = [[cell for cell in line.split("  ") if cell.strip()] for line in out.splitlines()]
    return [[cell.strip() for cell in row] for row in rows], err.splitlines()[-1], end.value.code


@pytest.fixture
def _never_trained(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise AssertionError("a dry run trains nothing")

    monkeypatch.setattr(training, "train", fail)


@pytest.mark.usefixtures("_never_trained")
def test_1_every_run_is_listed_and_nothing_is_written(call: Call, capsys: PRINTED, tmp_path: Path) -> None:
    rows, total, code = listed(call, capsys, "attack.size=4,8", "seed=range(2)")
    assert rows == [
        ["#0", "attack.size=4 seed=0", "sweep/attack.size-4+seed-0", "new: 2 rounds"],
        ["#1", "attack.size=4 seed=1", "sweep/attack.size-4+seed-1", "new: 2 rounds"],
        ["#2", "attack.size=8 seed=0", "sweep/attack.size-8+seed-0", "new: 2 rounds"],
        ["#3", "attack.size=8 seed=1", "sweep/attack.size-8+seed-1", "new: 2 rounds"],
    ]
    assert (total, code) == ("4 runs: 4 new; none was started", 0)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("_never_trained")
def test_1_what_the_data_or_a_component_refuse_is_seen_before_anything_starts(call: Call, capsys: PRINTED) -> None:
    rows, _, code = listed(call, capsys, "attack.size=8,40", "model.optimizer_g.lr=0.1,abc")
    assert [row[-1].partition(":")[0] for row in rows] == ["new", "refused", "refused", "refused"]
    assert rows[1][-1] == "refused: model.optimizer_g.lr must be a number in [0, inf); got 'abc'"
    assert rows[2][-1].startswith("refused: attack.size must be at most 31")
    assert code == "error: 3 runs of this sweep would be refused: #1, #2, #3"


@pytest.mark.usefixtures("_never_trained")
def test_1_a_misspelled_setting_is_named_with_what_was_meant(call: Call, capsys: PRINTED) -> None:
    rows, _, code = listed(call, capsys, "attack.sise=4,8")
    assert [row[0] for row in rows] == ["#0", "#1"]
    assert all(row[-1].endswith("did you mean attack.size?") for row in rows)
    assert code == "error: 2 runs of this sweep would be refused: #0, #1"


def test_1_runs_that_are_done_stopped_or_in_the_way_are_told_apart(call: Call, capsys: PRINTED) -> None:
    real = [each for each in DRY if not each.startswith("sweep.dry_run")]
    call(train.main, *real, "fl.rounds=1", "seed=0,1")
    rows, total, code = listed(call, capsys, "fl.rounds=1", "seed=0,1,2", "resume=auto")
    assert [row[-1] for row in rows] == ["done already: 1 round", "done already: 1 round", "new: 1 round"]
    assert (total, code) == ("3 runs: 2 done already, 1 new; none was started", 0)
    rows, _, _ = listed(call, capsys, "fl.rounds=3", "seed=0", "hydra.sweep.subdir=seed-0", "resume=auto")
    assert rows == [["#0", "sweep/seed-0", "to be resumed: 1 of 3 rounds"]]
    rows, _, code = listed(call, capsys, "fl.rounds=1", "seed=1,2")
    assert [row[-1].partition(":")[0] for row in rows] == ["refused", "new"]
    assert str(code).endswith("would be refused: #0")


def test_1_shared_data_are_read_once(call: Call, capsys: PRINTED, monkeypatch: pytest.MonkeyPatch) -> None:
    from fedgan.datasets.chest_phantom import ChestPhantom

    read: list[int] = []
    original = ChestPhantom.load
    monkeypatch.setattr(ChestPhantom, "load", lambda self: read.append(1) or original(self))
    listed(call, capsys, "dataset.seed=0,1", "attack.size=4,8,6")
    assert len(read) == 2


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ((), "sweep.dry_run must be false without -m, which starts a sweep; got true"),
        (("-m", "sweep.dry_run=2"), "sweep.dry_run must be true or false; got 2"),
        (
            ("-m", "hydra.sweeper._target_=my_lab.Optimizer", "objective=frechet_classifier"),
            "sweep.dry_run must be false with an optimizer, whose runs are not known before; got true",
        ),
    ],
)
def test_1_where_no_list_can_be_made_one_line_says_so(
    typed: tuple[str, ...], said: str, call: Call, capsys: PRINTED, tmp_path: Path
) -> None:
    dry = () if any("dry_run" in each for each in typed) else ("sweep.dry_run=true",)
    assert refusal(call, capsys, train.main, *typed, *dry) == f"error: {said}"
    assert list(tmp_path.iterdir()) == []


def test_1_values_of_the_sweepers_own_are_runs_too(call: Call, capsys: PRINTED, tmp_path: Path) -> None:
    (tmp_path / "own/experiment").mkdir(parents=True)
    file = tmp_path / "own/experiment/seeds.yaml"
    file.write_text("# @package _global_\nhydra:\n  sweeper:\n    params:\n      seed: 3,4\n")
    own = ("--config-dir=own", *DRY, "experiment=seeds", "hydra.sweep.subdir=${seed}")
    rows, _, _ = listed(call, capsys, *own)
    assert [row[1:3] for row in rows] == [["seed=3", "sweep/3"], ["seed=4", "sweep/4"]]


def test_1_a_run_does_not_keep_how_it_was_started(call: Call, tmp_path: Path) -> None:
    call(train.main, *TINY, "fl.rounds=1", "hydra.run.dir=run", "sweep.dry_run=false")
    assert "sweep" not in OmegaConf.load(tmp_path / "run/config.yaml")
