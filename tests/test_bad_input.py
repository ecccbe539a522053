"""What cannot work ends in one line that names the setting, what is allowed and what came; exit code 1."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from fedgan import sample, train
from tests.conftest import TINY

Call = Callable[..., Any]
TINY_FOLDER = (*(o for o in TINY if "dataset.t" not in o), "dataset=image_folder")


def refusal(call: Call, capsys: pytest.CaptureFixture[str], main: Callable[[], Any], *arguments: str) -> str:
    """The one line that the command leaves behind."""
    with pytest.raises(SystemExit) as exit_:
        call(main, *arguments)
    message = str(exit_.value.code)
    assert message.startswith("error: "), "a text as exit code is printed to stderr and exits with 1"
    assert "\n" not in message
    assert "Traceback" not in capsys.readouterr().err
    return message


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (("attack.size=33",), ("attack.size", "at most 31", "33")),
        (("attack.malicious=2",), ("attack.malicious", "fewer than half", "2")),
        (("attack.malicious=[0,1]",), ("attack.malicious", "fewer than half", "[0, 1]")),
        (("fl.num_clients=65", "attack.malicious=0"), ("fl.num_clients", "at most", "64", "65")),
        (("fl.batch_size=17",), ("fl.batch_size", "at most 16", "17")),
        (("fl.rounds=0",), ("fl.rounds", "at least 1", "0")),
        (("fl.rounds=many",), ("fl.rounds", "whole number", "many")),
        (("dataset.image_size=48",), ("image_size", "power of two", "48")),
        (("attack.sise=4",), ("attack.sise is no setting", "margin", "size")),
        (("atack=none",), ("atack", "attack")),
        (("attack=blue_square",), ("blue_square", "white_square", "random_patch")),
        (("defense=krum",), ("defense=krum is no choice", "feddetect")),
        (("defense=[none,krum]",), ("defense=krum is no choice", "feddetect")),
        (("metrics=[beauty]",), ("metrics=beauty is no choice", "emission", "frechet")),
        (("defense=feddetect",), ("defense.feddetect.warmup", "at most 0", "10")),
        (("defense=feddetect", "defense.feddetect.decay=2"), ("defense.feddetect.decay", "(0, 1)", "2")),
        (("model.loss.gamma=1",), ("gamma", "no setting")),
        (("+attack.colour=red",), ("colour",)),
        (("evaluation.samples_per_class=1",), ("evaluation.samples_per_class", "at least 2", "1")),
        (("evaluation.every=0",), ("evaluation.every", "at least 1", "0")),
        (("evaluation.latent_seed=abc",), ("evaluation.latent_seed", "whole number", "abc")),
        (("trainer.precision=16-mixed",), ("trainer.precision", "32-true", "16-mixed")),
        (("fl.rounds=1", "defense=feddetect"), ("fl.rounds", "at least 2", "1")),
        (("evaluation.grid_per_class=9",), ("evaluation.grid_per_class", "from 1 to 8", "9")),
        (("seed=one",), ("seed", "whole number", "one")),
        (("dataset.seed=-1",), ("dataset.seed", "at least 0", "-1")),
        (("attack.size=",), ("attack.size",)),
    ],
    ids=lambda value: ",".join(value) if isinstance(value, tuple) else value,
)
def test_settings(
    call: Call, capsys: pytest.CaptureFixture[str], overrides: tuple[str, ...], words: tuple[str, ...]
) -> None:
    message = refusal(call, capsys, train.main, *TINY, *overrides)
    assert all(word in message for word in words), message


def damage(folder: Path, kind: str) -> None:
    victims = sorted((folder / "train/benign").iterdir())
    if kind == "empty class":
        for file in victims:
            file.unlink()
    elif kind == "unreadable":
        victims[3].write_bytes(b"this is no picture")
    elif kind == "truncated":
        victims[3].write_bytes(victims[3].read_bytes()[:200])


@pytest.mark.parametrize(
    ("kind", "words"),
    [("empty class", ("benign",)), ("unreadable", ("3.png",)), ("truncated", ("3.png",))],
)
def test_folders(
    call: Call, capsys: pytest.CaptureFixture[str], image_folder: Path, kind: str, words: tuple[str, ...]
) -> None:
    files = sorted((image_folder / "train/benign").iterdir())
    damage(image_folder, kind)
    message = refusal(call, capsys, train.main, *TINY_FOLDER, f"dataset.root={image_folder}")
    expected = (files[3].name,) if kind != "empty class" else words
    assert all(word in message for word in expected), message


def test_missing_root(call: Call, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert "dataset.root" in refusal(call, capsys, train.main, *TINY_FOLDER)
    message = refusal(call, capsys, train.main, *TINY_FOLDER, f"dataset.root={tmp_path}/nowhere")
    assert "dataset.root" in message
    assert "nowhere" in message


def test_npz_with_pickled_objects(call: Call, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return (os.mkdir, (str(tmp_path / "executed"),))

    names = [f"{split}_{kind}" for split in ("train", "val", "test") for kind in ("images", "labels")]
    np.savez(tmp_path / "evil.npz", **{name: np.array([Evil()], dtype=object) for name in names})
    overrides = [o for o in TINY if "dataset.t" not in o]
    message = refusal(call, capsys, train.main, *overrides, "dataset=medmnist", f"dataset.file={tmp_path}/evil.npz")
    assert "evil.npz" in message
    assert not (tmp_path / "executed").exists()


def no_finished_run(folder: Path) -> bool:
    return not list(folder.rglob("generator.safetensors")) and not list(folder.rglob("summary.json"))


def test_a_refused_run_leaves_nothing_that_looks_finished(
    call: Call, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    refusal(call, capsys, train.main, *TINY, "attack.size=33")
    assert no_finished_run(tmp_path)


def evil_metadata(blueprint: str) -> dict[str, str]:
    return {"blueprint": blueprint, "sha256": "0"}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, ("run", "generator.safetensors")),
        (b"garbage", ("run", "no generator")),
        ("{}", ("run", "no generator")),
        (
            '{"target": "os.system", "arguments": {"command": "touch executed"}, "classes": [], "dataset": "", '
            '"rounds": 1}',
            ("fedgan.models", "os.system"),
        ),
        (
            '{"target": "fedgan.models.dcgan.Gone", "arguments": {}, "classes": ["a"], "dataset": "", "rounds": 1}',
            ("run", "no generator"),
        ),
        (
            '{"target": "fedgan.models.gone.Gone", "arguments": {}, "classes": ["a"], "dataset": "", "rounds": 1}',
            ("run", "no generator"),
        ),
    ],
    ids=["none", "garbage", "no blueprint", "foreign code", "no such class", "no such module"],
)
def test_run_folder_without_a_trustworthy_generator(
    call: Call, capsys: pytest.CaptureFixture[str], tmp_path: Path, content: object, words: tuple[str, ...]
) -> None:
    run = tmp_path / "run"
    run.mkdir()
    if isinstance(content, bytes):
        (run / "generator.safetensors").write_bytes(content)
    elif isinstance(content, str):
        save_file({"a": torch.zeros(1)}, run / "generator.safetensors", evil_metadata(content))
    message = refusal(call, capsys, sample.main, f"run={run}", f"out={tmp_path / 'out'}")
    assert all(word in message for word in words), message
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("out=o",), ("run",)),
        (("run=r",), ("out",)),
        (("run=r", "out=o", "per_class=0"), ("per_class", "at least 1", "0")),
        (("run=r", "out=o", "seed=abc"), ("seed", "whole number", "abc")),
        (("run=7", "out=2026"), ("run", "finished run", "7")),
        (("run=r", "out=full/file"), ("out", "empty folder", "full/file")),
        (("run=r", "out=full"), ("out", "empty folder", "full")),
        (("run=r", "out=o", "per_clas=3"), ("per_clas is no setting", "per_class")),
    ],
)
def test_sample_settings(
    call: Call, capsys: pytest.CaptureFixture[str], tmp_path: Path, arguments: tuple[str, ...], words: tuple[str, ...]
) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full/file").write_text("")
    message = refusal(call, capsys, sample.main, *arguments)
    assert all(word in message for word in words), message


def test_in_a_shell_one_line_and_exit_code_1(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "fedgan.train", *TINY, "attack.size=33"]
    environment = {name: value for name, value in os.environ.items() if name != "HYDRA_FULL_ERROR"}
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 1
    assert "attack.size" not in done.stdout
    assert done.stderr.strip().startswith("error: attack.size must be at most 31")
    assert len(done.stderr.strip().splitlines()) == 1


def test_full_error_shows_the_traceback(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "fedgan.train", *TINY, "fl.rounds=0"]
    environment = {**os.environ, "HYDRA_FULL_ERROR": "1"}
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert "fl.rounds must be a whole number of at least 1; got 0" in done.stderr
