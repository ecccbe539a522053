"""Jobs of a study: each done once, several at once, a failure told in one line."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from experiments.running import Job, carry_out, training


def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, code: str) -> str:
    (tmp_path / f"{name}.py").write_text(code)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return name


def job(tmp_path: Path, name: str, code: str) -> Job:
    file = tmp_path / name / "made"
    return Job(name, file.parent, (code, str(file)), file.is_file)


def test_what_is_done_is_not_repeated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = "import pathlib, os, sys\nfile = pathlib.Path(sys.argv[1])\nfile.parent.mkdir()\n"
    write = module(tmp_path, monkeypatch, "write", f"{code}file.write_text(os.environ['OMP_NUM_THREADS'])")
    jobs = [job(tmp_path, name, write) for name in "abc"]
    jobs[1].folder.mkdir()
    (jobs[1].folder / "made").write_text("before")
    carry_out(jobs, at_once=2, threads=3)
    assert [(tmp_path / name / "made").read_text() for name in "abc"] == ["3", "before", "3"]
    assert not (tmp_path / "b.log").exists()
    carry_out(jobs, at_once=2, threads=4)
    assert (tmp_path / "a" / "made").read_text() == "3"


def test_a_job_that_fails_stops_the_study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fail = module(tmp_path, monkeypatch, "fail", "import sys\nsys.exit('error: no such data')")
    jobs = [job(tmp_path, name, fail) for name in "ab"]
    with pytest.raises(
        ValueError, match=r"^a ended with exit code 1; its last words: error: no such data \(.*a\.log\)$"
    ):
        carry_out(jobs, at_once=1, threads=1)
    assert not (tmp_path / "b.log").exists(), "the second was not begun"


def test_sigterm_reaches_what_is_running(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wait = "import pathlib, signal, sys, time\nstopped = pathlib.Path(sys.argv[1] + '.stopped')\n"
    wait += "def stop(*_):\n    stopped.write_text('')\n    sys.exit(130)\n"
    wait += "signal.signal(signal.SIGTERM, stop)\npathlib.Path(sys.argv[1] + '.begun').write_text('')\ntime.sleep(60)"
    name = module(tmp_path, monkeypatch, "wait", wait)
    study = "from pathlib import Path\nfrom experiments.running import Job, carry_out\n"
    study += f"jobs = [Job(n, Path({str(tmp_path)!r}) / n, ({name!r}, {str(tmp_path)!r} + '/' + n), lambda: False)"
    study += " for n in 'ab']\ncarry_out(jobs, at_once=1, threads=1)"
    process = subprocess.Popen([sys.executable, "-c", study], env=os.environ | {"PYTHONPATH": str(tmp_path)})
    deadline = time.monotonic() + 60
    while not (tmp_path / "a.begun").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) != 0
    assert (tmp_path / "a.stopped").exists()
    assert not (tmp_path / "b.begun").exists()


def test_a_run_that_stopped_half_way_goes_on(tmp_path: Path) -> None:
    overrides, folder = ["seed=1", "fl.rounds=2"], tmp_path / "run"
    assert training("run", overrides, folder).command == ("fedgan.train", *overrides, f"hydra.run.dir={folder}")
    (folder / ".hydra").mkdir(parents=True)
    (folder / ".hydra" / "overrides.yaml").write_text("- fl.rounds=2\n- seed=1\n")
    (folder / "config.yaml").write_text("{}")
    going_on = training("run", overrides, folder)
    assert going_on.command == ("fedgan.train", f"resume={folder}")
    assert not going_on.is_done()
    (folder / "run.json").write_text('{"status": "finished"}')
    assert going_on.is_done()
    assert not training("run", ["seed=2", "fl.rounds=2"], folder).is_done(), "another run's folder"
