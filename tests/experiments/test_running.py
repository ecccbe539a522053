"""Jobs of a study: each done once, several at once, a failure told in one line."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from experiments import running
from experiments.running import Job, carry_out, settings_of, training
from fedgan.config.refusals import CONF
from fedgan.config.resume import keep_settings


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


def test_a_job_that_fails_does_not_stop_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = "import pathlib, sys\nfile = pathlib.Path(sys.argv[1])\n"
    code += "if 'bad' in str(file):\n    sys.exit('error: no such data')\nfile.parent.mkdir()\nfile.touch()"
    name = module(tmp_path, monkeypatch, "some", code)
    jobs = [job(tmp_path, each, name) for each in ("bad", "good")]
    failures = carry_out(jobs, at_once=1, threads=1)
    assert list(failures) == [tmp_path / "bad"]
    said = failures[tmp_path / "bad"]
    assert said == f"bad ended with exit code 1; its last words: error: no such data ({tmp_path / 'bad.log'})"
    assert jobs[1].is_done()
    assert (tmp_path / "bad.log").read_text().startswith(f"python -m some {tmp_path}")


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


def write_run(folder: Path, overrides: list[str], status: str) -> None:
    """What holds and is_finished look at."""
    (folder / "checkpoints").mkdir(parents=True)
    (folder / "checkpoints" / "round_0000.ckpt").touch()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        keep_settings(compose("config", overrides=overrides), folder)
    (folder / "run.json").write_text(f'{{"status": "{status}"}}')


def test_a_run_that_stopped_half_way_goes_on(tmp_path: Path) -> None:
    overrides, folder = ["seed=1", "fl.rounds=2"], tmp_path / "run"
    assert training("run", overrides, folder).command == ("fedgan.train", *overrides, f"hydra.run.dir={folder}")
    write_run(folder, ["fl.rounds=2", "seed=1"], "running")
    going_on = training("run", overrides, folder)
    assert going_on.command == ("fedgan.train", f"resume={folder}")
    assert not going_on.is_done()
    (folder / "run.json").write_text('{"status": "finished"}')
    assert going_on.is_done()
    (folder / "checkpoints" / "round_0000.ckpt").unlink()
    assert going_on.is_done(), "who needs checkpoints of a finished run?"
    (folder / "run.json").write_text('{"status": "running"}')
    assert training("run", overrides, folder).command[1:] == (*overrides, f"hydra.run.dir={folder}")


@pytest.mark.parametrize("status", ["running", "finished"])
def test_a_run_with_other_settings_is_refused_not_reused(status: str, tmp_path: Path) -> None:
    write_run(tmp_path / "run", ["model.ema=0.5"], status)  # as if conf/ had been edited since
    with pytest.raises(ValueError, match=r"run must hold a run with model.ema=0.9, or none; its run has model.ema=0.5"):
        training("run", [], tmp_path / "run")
    with pytest.raises(ValueError, match=r"seed=1, or none; its run has seed=0"):
        training("run", ["seed=1", "model.ema=0.5"], tmp_path / "run")


def test_a_run_from_before_a_setting_counts_as_one_with_its_default(tmp_path: Path) -> None:
    write_run(tmp_path / "run", [], "finished")
    settings = OmegaConf.load(tmp_path / "run/config.yaml")
    del settings.model.shared_fakes
    OmegaConf.save(settings, tmp_path / "run/config.yaml")
    assert training("run", [], tmp_path / "run").is_done()
    with pytest.raises(ValueError, match=r"model.shared_fakes=True, or none; its run has model.shared_fakes=False"):
        training("run", ["model.shared_fakes=true"], tmp_path / "run")


def test_data_that_were_moved_are_the_same_data(tmp_path: Path) -> None:
    before = ["dataset=chestx", "dataset.root=/before"]
    write_run(tmp_path / "run", before, "finished")
    assert training("run", ["dataset=chestx", "dataset.root='/after (1)'"], tmp_path / "run").is_done()


def test_settings_are_the_same_within_a_command_and_without() -> None:
    """Hydra can be set up once: a command has done it, a test or a notebook has not."""
    without = settings_of(("fl.rounds=3", "seed=1"))
    running._composed.cache_clear()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        assert settings_of(("fl.rounds=3", "seed=1")) == without
    assert (without["fl.rounds"], without["seed"]) == (3, 1)
