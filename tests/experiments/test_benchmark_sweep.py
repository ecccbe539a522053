"""The benchmark of sweeps: both launchers are given the same runs."""

from pathlib import Path
from typing import Any

import pytest

from experiments.benchmarks import sweep
from experiments.benchmarks.sweep import Sweep


def test_both_launchers_are_given_the_same_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commands: list[tuple[Any, ...]] = []
    monkeypatch.setattr(sweep, "call", lambda *arguments: commands.append(arguments))
    rows = Sweep(overrides=["fl.rounds=1"], runs=3, jobs=2, repeats=2).measure(tmp_path)
    assert [row["launcher"] for row in rows] == ["serial", "joblib, 2 jobs"]
    assert rows[0]["serial_over_this"] == 1.0
    assert len({command[-1] for command in commands}) == len(commands) == 6  # a folder each
    serial, joblib = commands[:2]
    assert set(joblib[:-1]) - set(serial[:-1]) == {"hydra/launcher=joblib", "hydra.launcher.n_jobs=2"}
    assert "seed=range(3)" in serial
