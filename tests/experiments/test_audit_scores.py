"""A federation that is recorded gives the scores that generator_audit itself would have seen."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from omegaconf import DictConfig

from experiments.audit import scores as audit_scores
from experiments.audit.recording import read
from fedgan.config import training
from fedgan.defenses.audit.views import VIEWS
from tests.helpers.runs import rows

SMALL = ("fl.rounds=3", "fl.malicious=[1]", "attack.size=8")


@pytest.fixture
def run(configure: Callable[..., DictConfig], tmp_path: Path) -> Path:
    folder = tmp_path / "kind" / "s0"
    recording = f"+defense.recording={{_target_: experiments.audit.recording.Recording, folder: {folder}/recording}}"
    training.train(configure(*SMALL, recording, "trust=[experiments]"), folder)
    return folder


def test_a_recording_changes_nothing_and_scores_as_the_audit_does(
    configure: Callable[..., DictConfig], run: Path, tmp_path: Path
) -> None:
    """Of the audit no more is asked than to look."""
    audit = ("defense=generator_audit", "defense.generator_audit.acts=false")
    training.train(configure(*SMALL, *audit), tmp_path / "audited")
    plain, audited = (rows(each / "clients.csv") for each in (run, tmp_path / "audited"))
    assert [row["loss_g"] for row in plain] == [row["loss_g"] for row in audited]
    kept = read(run / "recording")
    assert [len(each["clients"]) for each in kept] == [4, 4, 4]
    assert kept[0]["images"].shape == (4, 2, 32, 1, 32, 32)
    assert kept[0]["gram"].shape == (4, 4)
    np.testing.assert_allclose(kept[0]["gram"], kept[0]["gram"].T)
    scores = audit_scores.scores_of(run / "recording")
    assert {view: each.shape for view, each in scores.items()} == dict.fromkeys(VIEWS, (3, 4))


def test_the_table_has_a_line_for_each_view(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["audit_scores", str(run)])
    audit_scores.main()
    lines = capsys.readouterr().out.splitlines()[2:]
    cells = [[cell.strip() for cell in line.split("|")[2:-1]] for line in lines]
    assert [view for view, *_ in cells] == ["all", "classes", "place", "spectrum"]
    assert all(count == "1" for _, count, *_ in cells)
    highest = [float(honest) for _, _, honest, *_ in cells]
    assert highest[0] == max(highest[1:]) >= 0


def test_runs_with_an_honest_client_above_the_threshold_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = {"a": 12.0, "b": 10.9, "c": 11.1}
    monkeypatch.setattr(audit_scores, "rows_of", lambda run: {"all": audit_scores.Row(rows[run.name], 11.0, ())})
    line = audit_scores.table([Path("kind") / name for name in rows]).splitlines()[-1]
    assert line == "| kind | all | 3 | 12.0, 11.1, 10.9 | 2 | - |"


def test_equalized_scores_leave_other_views_as_they_are(run: Path) -> None:
    plain, equalized = (audit_scores.scores_of(run / "recording", equalize=each) for each in (False, True))
    np.testing.assert_array_equal(plain["spectrum"], equalized["spectrum"])
    assert not np.array_equal(plain["place"], equalized["place"])


def test_views_that_are_left_out_raise_neither_score_nor_threshold(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    row = audit_scores.rows_of(run, views=("place", "spectrum"))
    assert list(row) == ["place", "spectrum", "all"]
    every = audit_scores.rows_of(run)
    assert row["all"].honest == max(row["place"].honest, row["spectrum"].honest)
    assert row["all"].threshold == pytest.approx(every["all"].threshold - np.log(3 / 2))
    monkeypatch.setattr("sys.argv", ["audit_scores", "--views", "place,shape", str(run)])
    with pytest.raises(SystemExit, match=r"^error: --views must be .*place, classes, spectrum.*'shape'\]$"):
        audit_scores.main()


def test_a_folder_without_a_recording_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["audit_scores", str(tmp_path)])
    with pytest.raises(SystemExit, match=r"^error: RUN must be a run's folder with recording/ in it"):
        audit_scores.main()
