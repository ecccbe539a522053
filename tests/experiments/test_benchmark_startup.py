"""The benchmark of start-up: every command is started, and the first step is before the end."""

import json
import time
from pathlib import Path

import pytest

from experiments.benchmarks import startup
from experiments.benchmarks.startup import FirstStep, Startup, call, first_step
from tests.helpers.federation import TINY


def test_the_first_step_comes_before_the_end(tmp_path: Path) -> None:
    start = time.perf_counter()
    seconds = first_step(tmp_path, 0, [*TINY, "fl.rounds=1"])
    assert 0 < seconds < time.perf_counter() - start
    assert json.loads((tmp_path / "run_0/run.json").read_text())["status"] == "finished"


def test_a_row_for_every_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = iter([9.0, 3.0, 5.0, 4.0])  # the first is a warm-up
    monkeypatch.setattr(startup, "first_step", lambda *_: next(steps))
    monkeypatch.setattr(startup, "call", lambda *_, **__: time.sleep(0.001))
    rows = {row["until"]: row for row in Startup(overrides=[], repeats=3).measure(tmp_path)}
    assert len(rows) == 5
    assert rows["the run's first local step"]["seconds"] == 4.0
    assert rows["imports of torch and Lightning alone"]["over_imports"] == 1.0


def test_only_the_first_step_is_noted(tmp_path: Path) -> None:
    profiler = FirstStep(str(tmp_path / "noted"))
    with profiler.profile("data"):
        assert not (tmp_path / "noted").exists()
    with profiler.profile("D step"):
        noted = (tmp_path / "noted").read_text()
    with profiler.profile("D step"):
        assert (tmp_path / "noted").read_text() == noted


def test_a_command_that_fails_is_no_measurement() -> None:
    with pytest.raises(RuntimeError, match="ended with 1: .*broken"):
        call("-c", "raise SystemExit('broken')")
