"""What real use has broken once: each entry F1 to F31 and A1 to A12 has a test named after it, here or near its code.

F: faults found by retelling public bug reports; A: an audit of the numbers. ``test_every_fault_has_a_test`` walks them.
"""

import errno
import importlib
import json
import os
import pickle
import re
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import DictConfig, OmegaConf

from experiments import arms, round_split
from fedgan import evaluate, sample, train, utility
from fedgan.config import command, folders, training
from fedgan.config.refusals import INTERRUPTED
from fedgan.core import files
from fedgan.core.folders import LEDGER, claim
from fedgan.runs import provenance
from fedgan.runs.checkpoint import latest_checkpoint
from fedgan.runs.export import load_generator
from fedgan.runs.folder import clear_leftovers
from fedgan.runs.lock import exclusive
from tests.helpers.federation import TINY
from tests.helpers.runs import outcome, rows, signalled

Call = Callable[..., Any]
Configure = Callable[..., DictConfig]
TESTS = Path(__file__).parent
FOLDER = (*(o for o in TINY if "dataset.t" not in o), "dataset=image_folder")

ENTRIES = [*(f"f{n}" for n in range(1, 32)), *(f"a{n}" for n in range(1, 13))]


@pytest.mark.parametrize("entry", ENTRIES)
def test_every_fault_has_a_test(entry: str) -> None:
    named = re.compile(rf"^def test_{entry}_\w+", re.MULTILINE)
    assert any(named.search(file.read_text()) for file in TESTS.rglob("test_*.py"))


def tree(folder: Path) -> dict[str, bytes | None]:
    """Everything below a folder, by name: files with their content."""
    return {str(p.relative_to(folder)): p.read_bytes() if p.is_file() else None for p in folder.rglob("*")}


def refused(call: Call, main: Callable[[], Any], *arguments: str) -> str:
    with pytest.raises(SystemExit) as exit_:
        call(main, *arguments)
    message = str(exit_.value.code)
    assert message.startswith("error: "), message
    assert "\n" not in message
    return message


@pytest.fixture
def thesis(tmp_path: Path) -> Path:
    """A folder of somebody's own, with names that a run has too."""
    (tmp_path / "samples").mkdir()
    (tmp_path / "samples/round_0001.png").write_text("mine")
    (tmp_path / "samples/thesis.txt").write_text("mine")
    for name in ("rounds.csv", "config.yaml", f".notes.{'0' * 32}.txt", "utility.json", "table.csv"):
        (tmp_path / name).write_text("mine")
    return tmp_path


@pytest.mark.parametrize("named", ["", ".", "{folder}", "../{name}", '"~/x"'])
@pytest.mark.parametrize("main", [train.main, arms.main, round_split.main], ids=["train", "arms", "split"])
def test_f1_a_folder_of_others_is_refused_and_nothing_in_it_changes(
    main: Callable[[], Any], named: str, call: Call, thesis: Path
) -> None:
    before, settings = tree(thesis), TINY if main is train.main else ()
    typed = named.format(folder=thesis, name=thesis.name)
    message = refused(call, main, *settings, f"hydra.run.dir={typed}")
    assert message.startswith("error: hydra.run.dir must be ")
    assert tree(thesis) == before


def test_f1_a_study_of_others_is_not_continued(
    call: Call, configure: Configure, thesis: Path, tmp_path_factory: Any
) -> None:
    run = tmp_path_factory.mktemp("runs") / "run"
    training.train(configure("fl.rounds=1"), run)
    before = tree(thesis)
    few = ("real_per_class=[1]", "seeds=[0]", "synthetic_per_class=2", "classifier.epochs=1")
    message = refused(call, utility.main, f"run={run}", *few, "hydra.run.dir=.")
    assert "hydra.run.dir must be a new or empty folder" in message
    assert tree(thesis) == before


def test_f1_a_link_to_such_a_folder_is_such_a_folder(call: Call, thesis: Path, tmp_path_factory: Any) -> None:
    link = tmp_path_factory.mktemp("links") / "link"
    link.symlink_to(thesis)
    before = tree(thesis)
    assert "must be a new or empty folder" in refused(call, train.main, *TINY, f"hydra.run.dir={link}")
    assert tree(thesis) == before


@pytest.mark.parametrize("name", ["multirun.yaml", "optimization_results.yaml"])
def test_f1_a_sweep_writes_over_nothing_of_others(name: str, call: Call, tmp_path: Path) -> None:
    (tmp_path / name).write_text("mine: 1")
    before = tree(tmp_path)
    message = refused(call, train.main, "-m", *TINY, "seed=0,1", "hydra.sweep.dir=.")
    assert message == f"error: hydra.sweep.dir must be a folder without another's {name}; got '.'"
    assert tree(tmp_path) == before


@pytest.mark.parametrize("bad", ["dataset=image_folder dataset.root=/nonexistent", "fl.num_clients=999", "seed=x"])
@pytest.mark.parametrize("there", [True, False])
def test_f1_a_refused_run_touches_nothing(bad: str, there: bool, call: Call, tmp_path: Path) -> None:
    """Neither an empty folder that was there, nor by making one; in Hydra's own folders too."""
    if there:
        (tmp_path / "run").mkdir()
    before = tree(tmp_path)
    settings = [o for o in TINY if "image_folder" not in bad or "dataset.t" not in o]
    refused(call, train.main, *settings, *bad.split(), "hydra.run.dir=run")
    refused(call, train.main, *settings, *bad.split())
    assert tree(tmp_path) == before


def test_f1_what_a_start_left_is_cleared_and_the_rest_stays(configure: Configure, tmp_path: Path) -> None:
    """A run that was killed in its first round: its own files go, somebody's notes in its folder do not."""
    run = tmp_path / "run"
    (run / "checkpoints/clients").mkdir(parents=True)
    (run / "samples").mkdir()
    (run / "run.json").write_text(json.dumps({"status": "running", "versions": {"fedgan": "0.1.0"}}))
    stale = [
        "rounds.csv",
        "samples/round_0099.png",
        "checkpoints/clients/client_0000_round_0000.ckpt",
        "hpc_ckpt_1.ckpt",
    ]
    stale += [f".rounds.fedgan-{'a' * 32}.csv", f"samples/.round_0001.fedgan-{'b' * 32}.png"]
    kept = ["notes.txt", "samples/look.png", "checkpoints/readme.md", f"deeper/.x.{'c' * 32}.txt"]
    (run / "deeper").mkdir()
    for name in (*stale, *kept):
        (run / name).write_text("old")
    training.train(configure("fl.rounds=1"), run)
    assert {name: (run / name).read_text() for name in kept} == dict.fromkeys(kept, "old")
    assert not [name for name in stale if (run / name).exists() and (run / name).read_bytes() == b"old"]


def test_f1_the_temporary_files_of_a_run_in_a_sub_folder_are_left_alone(configure: Configure, tmp_path: Path) -> None:
    inner = tmp_path / "outer" / "inner" / f".summary.{'d' * 32}.json"
    training.train(configure("fl.rounds=1"), tmp_path / "outer")
    inner.parent.mkdir()
    inner.write_text("another run writes this")
    training.train(configure("fl.rounds=2", f"resume={tmp_path / 'outer'}"), tmp_path / "outer")
    assert inner.exists()


def test_f1_results_of_others_are_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "table1.md").write_text("mine")
    with pytest.raises(ValueError, match=r"^results: .* already contains files that fedgan did not write: table1.md"):
        claim(tmp_path, ["table1.csv", "table1.md"], "results")
    assert tree(tmp_path) == {"table1.md": b"mine"}
    claim(tmp_path, ["figure3.md"], "results")
    (tmp_path / "figure3.md").write_text("fedgan's")
    claim(tmp_path, ["figure3.md", "figure3.csv"], "results")
    assert json.loads((tmp_path / LEDGER).read_text())["files"] == ["figure3.csv", "figure3.md"]


def test_f1_sampling_into_a_folder_of_others(
    call: Call, configure: Configure, thesis: Path, tmp_path_factory: Any
) -> None:
    run = tmp_path_factory.mktemp("runs") / "run"
    training.train(configure("fl.rounds=1"), run)
    before = tree(thesis)
    for out in (thesis, thesis / "rounds.csv"):
        assert "out must be a new or empty folder" in refused(call, sample.main, f"run={run}", f"out={out}")
    assert tree(thesis) == before


SLURM = {f"SLURM_{name}": "0" for name in ("PROCID", "LOCALID", "NODEID")} | {
    f"SLURM_{name}": value
    for name, value in (("JOB_ID", "77"), ("JOB_NAME", "train"), ("NODELIST", "n1"), ("NNODES", "1"), ("NTASKS", "1"))
}


@pytest.mark.parametrize("stop_at", [1, 6])  # in the first round; in the second
def test_f5_slurms_signal_ends_the_round_and_the_requeued_job_resumes(
    stop_at: int, call: Call, configure: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = (*TINY, "fl.rounds=3")
    training.train(configure("fl.rounds=3"), tmp_path / "straight")
    for name, value in SLURM.items():
        monkeypatch.setenv(name, value)
    arguments = (*settings, f"hydra.run.dir={tmp_path / 'run'}", "resume=auto")
    with monkeypatch.context() as patch:
        signalled(patch, signal.SIGUSR1, stop_at)
        with pytest.raises(SystemExit) as exit_:
            call(train.main, *arguments)
    assert exit_.value.code == INTERRUPTED
    assert not list((tmp_path / "run").glob("hpc_ckpt_*")), "Lightning's own, which nothing resumes"
    call(train.main, *arguments)
    assert outcome(tmp_path / "run") == outcome(tmp_path / "straight")


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o027, 0o640)])
def test_f6_others_may_read_as_the_umask_says(mask: int, mode: int, configure: Configure, tmp_path: Path) -> None:
    before = os.umask(mask)
    try:
        training.train(configure("fl.rounds=1"), tmp_path / "run")
    finally:
        os.umask(before)
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in (tmp_path / "run").rglob("*.*") if file.is_file()}
    assert {"generator.safetensors", "rounds.csv", "summary.json", "round_0000.ckpt"} <= modes.keys()
    assert set(modes.values()) == {mode}, modes


def test_f6_a_generator_that_may_not_be_read_says_so(
    configure: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    training.train(configure("fl.rounds=1"), tmp_path / "run")
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may read anything
    with pytest.raises(ValueError, match="run must be a folder whose generator.safetensors you may read"):
        load_generator(tmp_path / "run")


def test_f7_a_run_whose_data_have_moved(call: Call, image_folder: Path, tmp_path: Path) -> None:
    """The root was typed relative; the folder moves; root= says where to, and the images guard."""
    straight = (*FOLDER, "dataset.root=images", "fl.rounds=3", "hydra.run.dir=straight")
    call(train.main, *straight)
    call(train.main, *FOLDER, "dataset.root=images", "fl.rounds=2", "hydra.run.dir=run")
    assert OmegaConf.load(tmp_path / "run/config.yaml").dataset.root == str(tmp_path / "images")
    shutil.move(tmp_path / "images", tmp_path / "moved")
    assert "does not exist" in refused(call, train.main, "resume=run", "fl.rounds=3")
    call(train.main, "resume=run", "fl.rounds=3", "root=moved")
    same = {"summary.json", "rounds.csv", "clients.csv", "generator.safetensors"}
    resumed, expected = outcome(tmp_path / "run"), outcome(tmp_path / "straight")
    assert {name: resumed[name] for name in same} == {name: expected[name] for name in same}
    assert OmegaConf.load(tmp_path / "run/config.yaml").dataset.root == str(tmp_path / "moved")


@pytest.mark.parametrize("place", ["root=moved", "dataset=image_folder dataset.root=moved dataset.image_size=32"])
def test_f7_other_images_are_refused_wherever_they_lie(
    place: str, call: Call, image_folder: Path, tmp_path: Path
) -> None:
    call(train.main, *FOLDER, "dataset.root=images", "fl.rounds=1", "hydra.run.dir=run")
    shutil.move(tmp_path / "images", tmp_path / "moved")
    picture = next((tmp_path / "moved/train/benign").iterdir())
    shutil.copy(next((tmp_path / "moved/test/benign").iterdir()), picture)
    before = tree(tmp_path / "run")
    assert "resume: the training images must be" in refused(
        call, train.main, "resume=run", "fl.rounds=2", *place.split()
    )
    assert tree(tmp_path / "run") == before


def test_f7_drawn_data_lie_nowhere(call: Call, configure: Configure, tmp_path: Path) -> None:
    training.train(configure("fl.rounds=1"), tmp_path / "run")
    message = refused(call, train.main, "resume=run", "fl.rounds=2", "root=/data")
    assert message == "error: root must be null: this run's data set is drawn, not read; got '/data'"


def test_f8_a_copy_within_another_repository_has_no_commit(tmp_path: Path) -> None:
    package = tmp_path / "venv/lib/site-packages/fedgan"
    (package / "runs").mkdir(parents=True)
    for name in ("__init__.py", "runs/__init__.py", "runs/provenance.py"):
        shutil.copy(Path(provenance.__file__).parents[1] / name, package / name)
    git = ("git", "-c", "user.name=x", "-c", "user.email=x@example.org")
    for words in (("init", "-q"), ("add", "."), ("commit", "-qm", "others' work")):
        subprocess.run([*git, *words], cwd=tmp_path, check=True)
    script = "from fedgan.runs.provenance import git_state; print(git_state())"
    environ = os.environ | {"PYTHONPATH": str(package.parent)}
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, env=environ, capture_output=True, text=True)
    assert done.stdout.strip() == "{'commit': None, 'dirty': None}", done.stderr


def test_f9_where_the_system_tells_no_memory_there_is_none_to_record(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "resource", None)  # as on Windows: importing it raises
    fresh = importlib.reload(provenance)
    assert fresh.peak_memory(torch.device("cpu")) == {"host": None}


def test_f10_a_user_without_a_home_has_no_cache_and_one_warning(
    configure: Configure, image_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    """As in a container that runs under an unknown user id."""

    def home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(Path, "home", home)
    files._warn_of_no_home.cache_clear()
    settings = [o for o in FOLDER if not o.startswith("metrics")]
    cfg = configure(*settings, f"dataset.root={image_folder}", "metrics=[frechet]", "fl.rounds=1", tiny=False)
    summary = training.train(cfg, tmp_path / "run")
    files._warn_of_no_home.cache_clear()
    assert summary["metrics"]["frechet_classifier"] > 0
    said = [record.getMessage() for record in caplog.records if record.name.startswith("fedgan")]
    assert said == ["this user has no home folder: nothing is cached; XDG_CACHE_HOME=PATH names a folder for it"]


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP])
def test_f11_without_locks_a_run_warns_and_continues(
    number: int,
    configure: Configure,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def flock(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("fcntl.flock", flock)
    assert training.train(configure("fl.rounds=1"), tmp_path / "run")["rounds"] == 1
    assert f"warning: no file can be locked in {tmp_path / 'run'}" in capsys.readouterr().err


def test_f11_other_errors_of_a_lock_are_errors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def flock(*_: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr("fcntl.flock", flock)
    with exclusive(tmp_path / "run") as lock, pytest.raises(OSError, match="Input/output"):
        lock.take()


def test_f12_a_folder_that_is_there_is_filled_and_not_replaced(
    call: Call, configure: Configure, tmp_path: Path
) -> None:
    """A mount point cannot be replaced; a link must not be."""
    training.train(configure("fl.rounds=1"), tmp_path / "run")
    (tmp_path / "mount").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "mount")
    inode = (tmp_path / "mount").stat().st_ino
    call(sample.main, f"run={tmp_path / 'run'}", "per_class=3", "out=link")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "mount").stat().st_ino == inode
    assert sorted(p.name for p in (tmp_path / "mount").iterdir()) == ["manifest.csv", "normal", "pneumonia"]
    assert len(list((tmp_path / "mount").rglob("*.png"))) == 6


TRAINER = "is not a setting of a federation; trainer has: accelerator, devices"


@pytest.mark.parametrize(
    "typed",
    [
        *("fast_dev_run=true", "limit_val_batches=1", "limit_val_batches=0", "overfit_batches=1"),
        *("gradient_clip_val=1.0", "accumulate_grad_batches=4", "strategy=ddp", "callbacks=[]", "typo=1"),
    ],
)
def test_f13_settings_of_lightnings_that_a_round_cannot_have(typed: str, call: Call) -> None:
    name = typed.partition("=")[0]
    assert refused(call, train.main, *TINY, f"+trainer.{typed}").startswith(f"error: trainer.{name} {TRAINER}")


@pytest.mark.parametrize("typed", ["max_time=00:00:00:06", "max_steps=3", "min_epochs=9"])
def test_f14_a_run_ends_by_its_rounds_alone(typed: str, call: Call) -> None:
    """A timer kept in the checkpoint would stop every later start at once."""
    name = typed.partition("=")[0]
    assert refused(call, train.main, *TINY, f"+trainer.{typed}").startswith(f"error: trainer.{name} {TRAINER}")


def test_f15_an_optimizing_sweeper_needs_an_objective(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folders, "check_subdirs", lambda config: None)  # which asks Hydra, and none is running here

    def started(objective: str | None, sweeper: str) -> None:
        settings = {
            "objective": objective,
            "hydra": {"sweep": {"dir": str(tmp_path / "s")}, "sweeper": {"_target_": sweeper}},
        }
        folders.OutputFolders().on_multirun_start(OmegaConf.create(settings))

    optuna = "hydra_plugins.hydra_optuna_sweeper.optuna_sweeper.OptunaSweeper"
    with pytest.raises(SystemExit, match=r"^error: objective must be the metric that hydra/sweeper is to optimize"):
        started(None, optuna)
    started("frechet_classifier", optuna)
    started(None, "hydra._internal.core_plugins.basic_sweeper.BasicSweeper")


def test_f15_a_refused_trial_is_no_number_wherever_it_was_run() -> None:
    """Optuna's sweeper takes what float() refuses for a failed trial; NaN would end the whole study."""
    value = pickle.loads(pickle.dumps(command.Refusal(2)))
    assert str(value) == "run #2, which was refused"
    with pytest.raises(TypeError):
        float(value)


@pytest.mark.parametrize("value", ["~/x", "/data/Données", "/data/chest (1)", "/data/a=b", "/data/#1"])
def test_f16_what_hydras_grammar_refuses_comes_with_the_remedy(value: str, call: Call) -> None:
    message = refused(call, train.main, *FOLDER, f"dataset.root={value}")
    assert message == f"error: dataset.root: quote a value with such characters: 'dataset.root=\"{value}\"'"


def test_f16_the_remedy_works(call: Call) -> None:
    assert "'/data/chest (1)' does not exist" in refused(call, train.main, *FOLDER, 'dataset.root="/data/chest (1)"')


@pytest.mark.parametrize("typed", ["out=", "run="])
def test_f17_empty_paths_are_none(typed: str, call: Call) -> None:
    name = typed.rstrip("=")
    whole = {"run": "run=x", "out": "out=y"} | {name: typed}
    assert refused(call, sample.main, *whole.values()).startswith(f"error: {name} must be the folder")


@pytest.mark.parametrize("setting", ["hydra.run.dir", "hydra.sweep.dir"])
def test_f18_no_folder_is_called_tilde(setting: str, call: Call, tmp_path: Path) -> None:
    several = ("-m",) if "sweep" in setting else ()
    message = refused(call, train.main, *several, *TINY, f'{setting}="~/runs/x"')
    assert (
        message
        == f"error: {setting} must be a folder, as an absolute or relative path (~ is not expanded); got '~/runs/x'"
    )
    assert not list(tmp_path.iterdir())


def test_f18_resume_takes_a_tilde_and_writes_nowhere_else(
    call: Call, configure: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    training.train(configure("fl.rounds=1"), tmp_path / "home/run")
    call(train.main, 'resume="~/run"', "fl.rounds=2")
    assert len(rows(tmp_path / "home/run/rounds.csv")) == 2
    assert [p.name for p in tmp_path.iterdir()] == ["home"]


def test_f19_sweep_folders_are_named_by_what_varies(call: Call, tmp_path: Path) -> None:
    long = ("fl.rounds=1", "evaluation.latent_seed=3", "name=a_rather_long_name_of_a_study_that_all_runs_share")
    call(train.main, "-m", *TINY, *long, "seed=0,1", "hydra.sweep.dir=sweep")
    assert sorted(p.name for p in (tmp_path / "sweep").iterdir()) == ["multirun.yaml", "seed-0", "seed-1", "sweep.csv"]
    call(train.main, "-m", *TINY, *long, "fl.rounds=2", "seed=0,1", "hydra.sweep.dir=sweep", "resume=auto")
    assert len(rows(tmp_path / "sweep/seed-1/rounds.csv")) == 2, "extended in the same folder"


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EINVAL])
def test_f20_an_error_says_which_file(number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def flush(path: Path) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(files, "_flush", flush)
    with pytest.raises(OSError, match=re.escape(f"{os.strerror(number)}: '{tmp_path / 'a.json'}'")):
        files.write_json(tmp_path / "a.json", {})
    assert not list(tmp_path.iterdir())


def test_f20_a_run_on_a_disk_that_fills_up_says_failed(
    configure: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the first checkpoint on no file can be written anew; run.json has its blocks already."""
    original = files._flush

    def flush(path: Path) -> None:
        if latest_checkpoint(tmp_path / "run") is not None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        original(path)

    monkeypatch.setattr(files, "_flush", flush)
    with pytest.raises(OSError, match=r"No space left on device: '.*/run/checkpoints/"):
        training.train(configure("fl.rounds=3"), tmp_path / "run")
    record = json.loads((tmp_path / "run/run.json").read_text())
    assert record["status"] == "failed"
    assert "No space left on device" in record["reason"]


def test_f23_paths_are_relative_to_where_the_command_was_given(call: Call, image_folder: Path, tmp_path: Path) -> None:
    moves = "hydra.job.chdir=true"
    call(train.main, *FOLDER, "dataset.root=images", "fl.rounds=1", "hydra.run.dir=run", moves)
    os.chdir(tmp_path)
    call(train.main, "resume=run", "fl.rounds=2", moves)
    assert len(rows(tmp_path / "run/rounds.csv")) == 2


def test_f24_an_unknown_choice_lists_those_of_the_users_own_folder(call: Call, tmp_path: Path) -> None:
    (tmp_path / "mine/defense").mkdir(parents=True)
    (tmp_path / "mine/defense/my_median.yaml").write_text("# @package defense.my_median\n_target_: x\n")
    message = refused(call, train.main, f"--config-dir={tmp_path / 'mine'}", *TINY, "defense=my_medan")
    assert "my_median, none" in message
    assert message.endswith("did you mean my_median?")


def test_f25_nothing_is_said_of_sync_dist() -> None:
    """A line for each metric and class with trainer.devices=2: the first process alone evaluates."""
    script = (
        "import warnings; from fedgan.config.screen import quieten; quieten(); "
        "warnings.warn('It is recommended to use `self.log(emission, ..., sync_dist=True)` when logging'); "
        "warnings.warn('something else')"
    )
    done = subprocess.run([sys.executable, "-W", "default", "-c", script], capture_output=True, text=True)
    assert "something else" in done.stderr
    assert "sync_dist" not in done.stderr


# What a stranger met


def test_a_users_file_with_a_name_of_hexadecimal_digits_is_left_alone(tmp_path: Path) -> None:
    mine = tmp_path / f".notes.{'0' * 32}.txt"
    mine.write_text("mine")
    clear_leftovers(tmp_path)
    assert mine.read_text() == "mine"


def test_utility_begins_in_no_folder_of_others_nor_of_a_run(call: Call, configure: Configure, tmp_path: Path) -> None:
    training.train(configure("fl.rounds=1"), tmp_path / "run")
    (tmp_path / "data/train").mkdir(parents=True)
    few = ("run=run", "real_per_class=[1]", "seeds=[0]", "synthetic_per_class=2", "classifier.epochs=1")
    for folder in ("data", "run"):
        before = tree(tmp_path / folder)
        message = refused(call, utility.main, *few, f"hydra.run.dir={folder}")
        assert "hydra.run.dir must be a new or empty folder" in message
        assert tree(tmp_path / folder) == before
    for _ in range(2):  # and again in its own
        call(utility.main, *few, "hydra.run.dir=study")


def test_a_control_that_is_no_run_is_named_as_the_control(call: Call, configure: Configure, tmp_path: Path) -> None:
    training.train(configure("fl.rounds=1"), tmp_path / "run")
    for typed, shown in (("control=nix", "nix"), ("control=''", "''")):
        message = refused(call, evaluate.main, "run=run", typed, "metrics=[diversity]")
        assert message.startswith("error: control"), message
        assert shown in message


@pytest.mark.parametrize("resume", ["resume=", "resume=''", "resume=' '"])
def test_nothing_to_resume_is_not_the_current_folder(resume: str, call: Call, tmp_path: Path) -> None:
    message = refused(call, train.main, resume, "fl.rounds=9")
    assert message.startswith("error: resume must be a run's folder, or auto; got ")


@pytest.mark.parametrize("subdir", ["..", "x", "/tmp/elsewhere"])
def test_hydras_own_records_go_nowhere_else(subdir: str, call: Call, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("mine")
    message = refused(call, train.main, *TINY, f"hydra.output_subdir={subdir}", "hydra.run.dir=run")
    assert message.startswith("error: hydra.output_subdir must be null")
    assert tree(tmp_path) == {"config.yaml": b"mine"}


@pytest.mark.parametrize("where", ["file", "file/run"])
def test_a_file_in_the_place_of_a_folder_is_named_with_its_setting(where: str, call: Call, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    message = refused(call, train.main, *TINY, f"hydra.run.dir={where}")
    assert message.startswith("error: hydra.run.dir must be a folder that can be made; ")
    assert (tmp_path / "file").read_text() == "mine"


def test_no_metrics_are_written_as_none(call: Call, tmp_path: Path) -> None:
    assert refused(call, train.main, *TINY, "metrics=[]").endswith(
        "metrics must be at least one choice (metrics=none for none); got []"
    )


@pytest.mark.parametrize("name", ["1_2", "2026_01_31", "1e3", "007", "12.50"])
def test_a_folder_whose_name_is_a_number_is_taken_as_typed(
    name: str, call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hydra reads 12, 20260131, 1000.0, 7 and 12.5."""
    monkeypatch.chdir(tmp_path)
    assert f"/{name}'" in refused(call, train.main, f"resume={name}")
    refused(call, train.main, *TINY, f"hydra.run.dir={name}", "fl.rounds=0")
    Path(name).write_text("mine")
    said = refused(call, train.main, *TINY, f"hydra.run.dir={name}")
    assert said.startswith("error: hydra.run.dir must be a folder that can be made; ")


def test_a_choice_made_twice_is_refused(call: Call, tmp_path: Path) -> None:
    message = refused(call, train.main, *TINY, "defense=[median,median]")
    assert message.endswith("defense must be a list of choices, each once at most; got ['median', 'median']")


def test_the_hint_for_a_list_can_be_typed(call: Call, tmp_path: Path) -> None:
    message = refused(call, arms.main, "overrides=[fl.rounds=6]")
    assert message.endswith(" 'overrides=[\"fl.rounds=6\"]'")
