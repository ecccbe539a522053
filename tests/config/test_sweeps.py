"""Sweeps by Hydra's launcher plugins: workers in other processes, refusals counted where the sweep was started."""

import json
import os
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import joblib
import pytest
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from hydra.utils import instantiate
from omegaconf import OmegaConf

from fedgan import train
from fedgan.config import command
from fedgan.config.refusals import CONF
from fedgan.config.sweeps.callbacks import progress_line
from fedgan.config.sweeps.plan import check_subdirs
from fedgan.config.training import check_settings
from tests.helpers.federation import TINY
from tests.helpers.runs import LAUNCHERS


@pytest.fixture
def look(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Look at a sweep before its first run, as its command line is typed; afterwards all is as it was before."""

    def check(*typed: str) -> None:
        monkeypatch.setattr(sys, "argv", ["command"])
        loader = GlobalHydra.instance().config_loader()
        config = loader.load_configuration("config", [*TINY, "hydra.sweep.dir=s", *typed], RunMode.MULTIRUN)
        HydraConfig.instance().set_config(config)
        before = HydraConfig.instance().cfg
        try:
            check_subdirs(config)
        finally:
            assert HydraConfig.instance().cfg is before

    with initialize_config_dir(str(CONF), version_base="1.3"):
        yield check


@pytest.mark.parametrize(
    "typed",
    [
        ("hydra.sweep.subdir=same",),
        ("seed=0,1", "hydra.sweep.subdir=${seed}"),
        ("seed=0,1", "hydra.sweep.subdir=${hydra.job.num}"),
        ("seed=0,1", "hydra.sweep.subdir=${hydra.job.id}"),
        ("attack=white_square,noise_patch", "hydra.sweep.subdir=${hydra:runtime.choices.attack}"),
        ("attack=glob(*patch)", "hydra.sweep.subdir=${hydra:runtime.choices.attack}"),
        ("seed=0,1", "fl.rounds=1,2"),
        ("seed=0,1", "hydra.sweep.subdir=${no_such_setting}"),
    ],
)
def test_runs_with_folders_of_their_own_and_what_hydra_refuses_itself_pass(
    typed: tuple[str, ...], look: Callable[..., None]
) -> None:
    look(*typed)


@pytest.mark.parametrize(
    ("typed", "both"),
    [
        (("seed=0,1", "hydra.sweep.subdir=same"), "#0 and #1 would both go into 'same'"),
        (("seed=0,1", "fl.rounds=1,2", "hydra.sweep.subdir=${seed}"), "#0 and #2 would both go into '0'"),
        (("seed=range(3)", "hydra.sweep.subdir=${fl.rounds}/./a"), "#0 and #1 would both go into '2/./a'"),
        (("attack=glob(*patch)", "hydra.sweep.subdir=one"), "#0 and #1 would both go into 'one'"),
    ],
)
def test_the_first_two_runs_of_one_folder_are_named(
    typed: tuple[str, ...], both: str, look: Callable[..., None]
) -> None:
    with pytest.raises(ValueError) as error:
        look(*typed)
    assert str(error.value) == f"hydra.sweep.subdir must differ from run to run; {both}"


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


@pytest.mark.parametrize("launcher", ["joblib", pytest.param("submitit", marks=pytest.mark.slow)])
def test_a_sweep_in_workers_continues_after_a_refusal_and_counts_it(launcher: str, tmp_path: Path) -> None:
    settings = (
        "fl.rounds=1",
        "logger=wandb",
        "trainer.enable_progress_bar=true",
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
    counts = [line[: len("0 of 2")] for line in done.stderr.splitlines() if " of 2 runs finished" in line]
    # The refused run has not finished; which of the two ends first is the system's affair.
    assert (counts in (["0 of 2", "1 of 2"], ["1 of 2", "1 of 2"])) if launcher == "joblib" else not counts
    if launcher == "joblib":
        assert run["threads"] == max(1, joblib.cpu_count() // 2)  # two workers share the cores
        lines = [line for line in done.stderr.splitlines() if line.startswith("8  ")]
        assert [line for line in lines if "round 0 of 1" in line], "two runs print to one screen"
        assert any(line.startswith("8  attack: client") for line in lines)


def test_a_search_by_optuna_survives_refused_trials_and_trains_no_combination_twice(tmp_path: Path) -> None:
    pytest.importorskip("hydra_plugins.hydra_optuna_sweeper")
    fixed = ("model.optimizer_g.lr=0.0002", "model.optimizer_d.lr=0.0002", "fl.local_epochs=1", "fl.rounds=1")
    scored = ("metrics=[kernel]", "metrics.kernel.classifier.steps=3", "objective=kernel_classifier")
    search = ("hparams_search=optuna", "attack.size=choice(8,40)", "hydra.sweeper.n_trials=6", "hydra.sweep.dir=search")
    own = [each for each in (*TINY, *fixed, *scored) if not each.startswith("attack.size")]
    command = [sys.executable, "-m", "fedgan.train", "-m", *own, *search]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    refused, trained, repeated = (done.stderr.count(text) for text in ("attack.size must", "data: ", "nothing to do: "))
    assert trained == 1
    assert refused
    assert repeated
    assert refused + trained + repeated == 6
    assert "alembic" not in done.stdout
    assert [path.name for path in (tmp_path / "search").iterdir() if path.is_dir()] == ["attack.size-8"]
    summary = json.loads((tmp_path / "search/attack.size-8/summary.json").read_text())
    best = OmegaConf.load(tmp_path / "search/optimization_results.yaml")
    assert best.best_params == {"attack.size": 8}
    assert best.best_value == pytest.approx(summary["metrics"]["kernel_classifier"])


def test_the_sweep_of_weights_and_biases_sends_settings_that_are_taken() -> None:
    """Its agent types each parameter as name=value (``args_no_hyphens``), and reads the metric from the summary."""
    sweep = OmegaConf.to_container(OmegaConf.load(CONF.parent / "experiments/wandb_sweep.yaml"), resolve=False)
    assert isinstance(sweep, dict)
    head, (*constant, rest) = sweep["command"][:4], sweep["command"][4:]
    assert (head, rest) == (["${env}", "${interpreter}", "-m", "fedgan.train"], "${args_no_hyphens}")
    for bound in ("min", "max"):
        values = {name: own.get(bound, own.get("values", [None])[-1]) for name, own in sweep["parameters"].items()}
        with initialize_config_dir(str(CONF), version_base="1.3"):
            cfg = compose("config", overrides=[*constant, *(f"{name}={value}" for name, value in values.items())])
        check_settings(cfg)
        assert {name: OmegaConf.select(cfg, name) for name in values} == values
    metrics = [name for name in cfg.metrics if sweep["metric"]["name"] in instantiate(cfg.metrics[name]).names]
    assert metrics == ["frechet"]


@pytest.mark.parametrize(
    ("done", "seconds", "at_once", "left"),
    [
        (1, [30.0], 1, ", about 90 s left"),  # 3 runs of 30 s
        (1, [30.0], 2, ", about 60 s left"),  # two, then one
        (2, [10.0, 4000.0, 70.0], 1, ", about 2 min left"),  # 2 of the median, 70 s
        (1, [3000.0], 1, ", about 2 h 30 min left"),
        (2, [], 1, ""),  # none has finished
        (4, [30.0], 1, ""),
    ],
)
def test_2_the_time_left_is_the_median_runs_for_each_that_is_left(
    done: int, seconds: list[float], at_once: int, left: str
) -> None:
    said = "done" if at_once == 1 else "finished"
    assert progress_line(done, 4, seconds, at_once) == f"{done} of 4 runs {said}{left}"


def test_2_after_each_run_one_line_says_how_many_are_done(
    call: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    typed = ("-m", *TINY, "fl.rounds=1", "attack.size=8,40,4", "hydra.sweep.dir=sweep")
    with pytest.raises(SystemExit):  # one is refused
        call(train.main, *typed)
    said = [line for line in capsys.readouterr().err.splitlines() if "runs done" in line]
    assert [line.partition(",")[0] for line in said] == [f"{n} of 3 runs done" for n in (1, 2, 3)]
    assert ["left" in line for line in said] == [True, True, False]

    with pytest.raises(SystemExit):  # finished runs are done from the start; extended, none of them is
        call(train.main, *typed, "resume=auto")
    assert "3 of 3 runs done" in capsys.readouterr().err
    call(train.main, "-m", *TINY, "fl.rounds=2", "attack.size=8,4", "hydra.sweep.dir=sweep", "resume=auto")
    said = [line for line in capsys.readouterr().err.splitlines() if "runs done" in line]
    assert [line.partition(",")[0] for line in said] == ["1 of 2 runs done", "2 of 2 runs done"]


def test_2_a_single_run_has_no_such_line(call: Callable[..., None], capsys: pytest.CaptureFixture[str]) -> None:
    call(train.main, *TINY, "fl.rounds=1", "hydra.run.dir=run")
    assert "runs done" not in capsys.readouterr().err


def test_a_sweep_that_is_refused_as_a_whole_leaves_no_folder(call: Callable[..., None], tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"attack\.size is not a setting of the attack that is chosen"):
        call(train.main, "-m", "attack.size=4,8")
    assert not list(tmp_path.iterdir())
