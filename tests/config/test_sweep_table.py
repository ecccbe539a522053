"""The end of a sweep: which runs there were, what varied, how each ended."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from fedgan import train
from fedgan.config.sweeps.table import FILE, at_end
from tests.helpers.federation import TINY
from tests.helpers.reports import SQUARE, run_of

PRINTED = pytest.CaptureFixture[str]


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    run_of(tmp_path / "sweep/a", {"emission": 0.5, "emission_low": 0.4, "emission/x": 0.5})
    run_of(tmp_path / "sweep/b", {"emission": 0.25}, attack=SQUARE | {"size": 4})
    failed = run_of(tmp_path / "sweep/c", None, attack=SQUARE | {"size": 4})
    (failed.folder / "run.json").write_text('{"status": "failed", "reason": "ValueError: no space", "seconds": 1.5}')
    return tmp_path / "sweep"


def test_one_row_per_run_with_its_reason(sweep: Path, capsys: PRINTED) -> None:
    at_end(sweep)
    table = pd.read_csv(sweep / FILE)
    assert table["attack.size"].tolist() == [8, 4, 4]
    assert table["status"].tolist() == ["finished", "finished", "failed"]
    assert table["reason"].tolist()[2] == "ValueError: no space"
    assert table["emission"].tolist()[:2] == [0.5, 0.25]
    printed = capsys.readouterr()
    assert printed.out == ""
    assert f"{sweep / 'c'}: failed: ValueError: no space" in printed.err
    assert f"report: python -m fedgan.report {sweep}\n" in printed.err
    assert "emission_low" not in printed.err


def test_a_foreign_file_stays(sweep: Path, capsys: PRINTED) -> None:
    (sweep / FILE).write_text("mine\n")
    at_end(sweep)
    assert (sweep / FILE).read_text() == "mine\n"
    assert "is no table of a sweep and stays" in capsys.readouterr().err
    (sweep / FILE).unlink()
    at_end(sweep)
    at_end(sweep)  # its own is replaced
    assert len(pd.read_csv(sweep / FILE)) == 3


def test_a_sweep_without_runs_leaves_nothing(tmp_path: Path, capsys: PRINTED) -> None:
    at_end(tmp_path)
    assert not list(tmp_path.iterdir())
    assert capsys.readouterr().err == ""


def test_a_real_sweep(call: Callable[..., Any], tmp_path: Path) -> None:
    call(train.main, "-m", *TINY, "fl.rounds=1", "attack.size=4,8", "hydra.sweep.dir=sweep")
    assert pd.read_csv(tmp_path / "sweep" / FILE)["attack.size"].tolist() == [4, 8]
