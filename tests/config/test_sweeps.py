"""Sweeps by Hydra's launcher plugins: workers in other processes, refusals counted where the sweep was started."""

import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import joblib
import pytest

from fedgan.config import command
from tests.helpers.federation import TINY

LAUNCHERS = {
    "joblib": ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2"),
    "submitit": ("hydra/launcher=submitit_local", "hydra.launcher.cpus_per_task=1"),
}


@pytest.fixture
def noted(monkeypatch: pytest.MonkeyPatch) -> set[int]:
    monkeypatch.setattr(command, "REFUSED", set[int]())
    return command.REFUSED


def test_a_refusal_is_noted_where_it_is_sent_to_and_counts_once(noted: set[int]) -> None:
    sent = pickle.dumps(command.Refusal(3))
    noted.clear()  # as if this were the process that started the sweep
    for _ in range(2):
        pickle.loads(sent)
    assert noted == {3}


@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_a_sweep_in_workers_continues_after_a_refusal_and_counts_it(launcher: str, tmp_path: Path) -> None:
    settings = (
        "fl.rounds=1",
        "logger=wandb",
        "attack.size=40,8",
        "hydra.sweep.dir=sweep",
        "hydra.sweep.subdir=${attack.size}",
    )
    command = [sys.executable, "-m", "fedgan.train", "-m", *LAUNCHERS[launcher], *TINY, *settings]
    environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 1, done.stderr
    assert done.stderr.splitlines()[-1] == "error: 1 run of this sweep refused: #0"
    run = json.loads((tmp_path / "sweep/8/run.json").read_text())
    assert run["status"] == "finished"
    assert len(list((tmp_path / "sweep/8/wandb").glob("offline-run-*"))) == 1
    assert not (tmp_path / "sweep/40/run.json").exists()
    logs = [file.read_text() for file in (tmp_path / "sweep").glob(".submitit/*/*_log.err")]
    assert sum(text.count("error: attack.size must be at most 31") for text in (done.stderr, *logs)) == 1
    if launcher == "joblib":
        assert run["threads"] == max(1, joblib.cpu_count() // 2)  # two workers share the cores
