"""A run's folder belongs to one process at a time."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from omegaconf import DictConfig

from fedgan.config import training
from fedgan.runs.lock import exclusive

HOLD = """
import sys, time
from pathlib import Path
from fedgan.runs.lock import exclusive
with exclusive(Path(sys.argv[1])) as lock:
    lock.take()
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path / "run")], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_a_second_process_is_refused(
    holder: subprocess.Popen[str], configure: Callable[..., DictConfig], tmp_path: Path
) -> None:
    try:
        with pytest.raises(ValueError, match="must be a folder that no other process works in; got .*run$"):
            training.train(configure(), tmp_path / "run")
        assert os.listdir(tmp_path / "run") == [".lock"], "nothing was touched"
    finally:
        holder.kill()
        holder.wait()


def test_a_killed_process_lets_go(
    holder: subprocess.Popen[str], configure: Callable[..., DictConfig], tmp_path: Path
) -> None:
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert training.train(configure("fl.rounds=1"), tmp_path / "run")["rounds"] == 1


def test_it_lets_go(tmp_path: Path) -> None:
    with exclusive(tmp_path) as lock:
        lock.take()
        with pytest.raises(ValueError, match="no other process"), exclusive(tmp_path):
            pass  # not even this one, by a second lock
    with exclusive(tmp_path) as lock:
        lock.take()
