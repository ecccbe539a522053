"""Runs of a study by Hydra's multirun: each done once, a signal passed on, a failure that loses no other."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from experiments import multirun
from experiments.multirun import Job, call, carry_out, launcher_of, train
from experiments.paper import __main__ as paper
from experiments.settings import checked_overrides, checked_seeds
from fedgan.config.refusals import CONF, Interrupted
from tests.helpers.federation import TINY
from tests.helpers.runs import LAUNCHERS


def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, code: str) -> str:
    (tmp_path / f"{name}.py").write_text(code)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}")
    return name


def test_a_command_has_its_arguments_and_its_exit_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = "import pathlib, sys\npathlib.Path(sys.argv[1]).write_text(sys.argv[2])\nsys.exit(3)"
    name = module(tmp_path, monkeypatch, "say", code)
    assert call(name, str(tmp_path / "said"), "it's '(1)'") == 3
    assert (tmp_path / "said").read_text() == "it's '(1)'"


@pytest.mark.parametrize(
    "launcher", [pytest.param((), marks=pytest.mark.slow), LAUNCHERS["joblib"]], ids=["basic", "joblib"]
)
def test_runs_have_the_threads_of_the_environment(
    launcher: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in paper.THREADS:
        monkeypatch.setenv(name, "2")
    settings = (*TINY, "fl.rounds=1", "seed=0")
    assert train([*settings, "arm=vanilla,attack"], tmp_path / "runs", "${hydra.runtime.choices.arm}", launcher) == 0
    records = [json.loads((tmp_path / "runs" / arm / "run.json").read_text()) for arm in ("vanilla", "attack")]
    assert [record["threads"] for record in records] == 2 * [min(2, os.cpu_count() or 1)]


def test_sigterm_reaches_what_is_running_and_nothing_else_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wait = "import pathlib, signal, sys, time\nstopped = pathlib.Path(sys.argv[1] + '.stopped')\n"
    wait += "def stop(*_):\n    stopped.write_text('')\n    sys.exit(130)\n"
    wait += "signal.signal(signal.SIGTERM, stop)\npathlib.Path(sys.argv[1] + '.begun').write_text('')\ntime.sleep(60)"
    name = module(tmp_path, monkeypatch, "wait", wait)
    study = f"from experiments.multirun import call\nfor n in 'ab':\n    call({name!r}, {str(tmp_path)!r} + '/' + n)"
    process = subprocess.Popen([sys.executable, "-c", study], stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not (tmp_path / "a.begun").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    said = process.communicate(timeout=30)[1]
    assert process.returncode != 0
    assert "Interrupted: stopped; the same command resumes" in said
    assert (tmp_path / "a.stopped").exists()
    assert not (tmp_path / "b.begun").exists()


def test_signals_are_handled_as_before_once_a_command_has_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)]
    assert call(module(tmp_path, monkeypatch, "nothing", "")) == 0
    assert [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)] == before
    with pytest.raises(Interrupted):
        call(module(tmp_path, monkeypatch, "killed", "import os\nos.kill(os.getpid(), 15)"))


EVALUATION = ("metrics=[emission]", "samples_per_class=8")


def jobs_of(tmp_path: Path, *names: str) -> list[Job]:
    return [
        Job(
            "fedgan.evaluate",
            tmp_path / name,
            {"run": f"/runs/{name} (1)", "control": "/runs/none"},
            EVALUATION,
            (tmp_path / name / "made").is_file,
        )
        for name in names
    ]


def test_jobs_are_options_of_one_sweep_and_done_ones_are_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[tuple[str, ...]] = []

    def make(module: str, *arguments: str) -> int:
        calls.append((module, *arguments))
        (tmp_path / "c").mkdir()
        (tmp_path / "c/made").touch()
        return 1

    monkeypatch.setattr(multirun, "call", make)
    (tmp_path / "b").mkdir()
    (tmp_path / "b/made").touch()
    jobs = jobs_of(tmp_path, "a", "b", "c")
    assert carry_out(jobs, ["hydra/launcher=joblib"]) == [tmp_path / "a"], "what failed"
    (only,) = calls
    assert only[:5] == ("fedgan.evaluate", "--config-dir", str(tmp_path / ".jobs"), "-m", "hydra/launcher=joblib")
    assert only[5] == "+job=a,c"
    assert only[6:8] == EVALUATION
    written = yaml.safe_load((tmp_path / ".jobs/job/a.yaml").read_text())
    assert written == {"run": "/runs/a (1)", "control": "/runs/none"}
    assert not (tmp_path / ".jobs/job/b.yaml").exists()
    calls.clear()
    assert carry_out(jobs[1:], []) == []
    assert calls == []


@pytest.mark.parametrize(
    "launcher",
    [(), LAUNCHERS["joblib"], pytest.param(LAUNCHERS["submitit"], marks=pytest.mark.slow)],
    ids=["basic", "joblib", "submitit"],
)
def test_a_job_that_is_refused_names_its_run_and_the_others_are_tried(
    launcher: tuple[str, ...], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The command itself, with runs that are not there: each refusal is a line about its own run."""
    jobs = jobs_of(tmp_path, "a", "b")
    assert carry_out(jobs, launcher) == [job.folder for job in jobs]
    said = capfd.readouterr().err
    logs = "".join(file.read_text() for file in tmp_path.glob(".submitit/*/*_log.err"))
    assert all(f"got '/runs/{name} (1)'" in said + logs for name in "ab")
    assert "error: 2 runs of this sweep refused: #0, #1" in said.splitlines()


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ("basic", ("hydra/launcher=basic",)),
        ("joblib", ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2")),
        (
            "slurm",
            (
                "hydra/launcher=submitit_slurm",
                "hydra.launcher.gpus_per_node=1",
                "hydra.launcher.cpus_per_task=8",
                "hydra.launcher.mem_gb=32",
                "hydra.launcher.timeout_min=2880",
            ),
        ),
    ],
)
def test_launchers_are_hydras(choice: str, expected: tuple[str, ...]) -> None:
    """Those of conf/launcher/ are launchers that are installed, with settings that they have."""
    with initialize_config_dir(str(CONF), version_base="1.3"):
        launcher = launcher_of(compose("paper", overrides=[f"launcher={choice}"]).launcher)
        composed = compose("config", overrides=[*launcher], return_hydra_config=True).hydra.launcher
    assert launcher == expected
    assert f"hydra_{choice}".replace("slurm", "submitit") in composed._target_ or choice == "basic"


@pytest.mark.parametrize("given", ["fl.rounds=6", None, 3, {"fl.rounds": 6}, [6], ["fl.rounds=6", {"a": 1}]])
def test_overrides_are_a_list_of_settings(given: object) -> None:
    value = OmegaConf.create({"overrides": given}).overrides
    with pytest.raises(
        ValueError, match=r"^overrides must be a list of settings: 'overrides=\[\"fl.rounds=6\"\]'; got"
    ):
        checked_overrides(value)


def test_an_override_that_stands_for_several_runs_is_refused() -> None:
    with pytest.raises(ValueError, match=r"settings with one value each; got \['fl.rounds=1,2'\]"):
        checked_overrides(OmegaConf.create(["seed=1", "fl.rounds=1,2"]))
    assert checked_overrides(OmegaConf.create(["metrics=[a,b]"])) == ("metrics=[a,b]",)


@pytest.mark.parametrize("given", [[], 3, None, "0,1", [-1], [0.5], [1, 1]])
def test_seeds_are_a_list_of_numbers_that_differ(given: object) -> None:
    with pytest.raises(ValueError, match=r"seeds must be "):
        checked_seeds(OmegaConf.create({"seeds": given}).seeds)
