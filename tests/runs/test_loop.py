"""A run that has all its rounds but no summary ends as one that was never stopped."""

import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest
from omegaconf import DictConfig

from fedgan.config import training
from fedgan.config.refusals import Interrupted
from fedgan.federated.server import Server
from fedgan.metrics.base import Unavailable
from fedgan.metrics.diversity import Diversity
from tests.helpers.federation import FEDDETECT
from tests.helpers.runs import outcome, resume, rows, signalled

Configure = Callable[..., DictConfig]
BASE = ("metrics=[emission,diversity]", "dataset.train_per_class=40")
SETTINGS = {
    "between evaluations": (*BASE, *FEDDETECT, "evaluation.every=100"),
    "fine-tuned": (
        *(*BASE, "evaluation.every=100", "defense=reconstruction"),
        *("defense.reconstruction.images_per_class=8", "defense.reconstruction.epochs=2"),
    ),
}


@pytest.fixture(autouse=True)
def _no_diversity(monkeypatch: pytest.MonkeyPatch) -> None:
    """A metric that cannot be computed, which is known only once there are images: the summary says why."""

    def compute(self: Diversity, synthetic: Any) -> NoReturn:
        raise Unavailable("not of these images")

    monkeypatch.setattr(Diversity, "compute", compute)


def full_disk(*_: object, **__: object) -> NoReturn:
    raise OSError(28, "No space left on device")


def stop(cfg: DictConfig, folder: Path, monkeypatch: pytest.MonkeyPatch, *, training_number: int) -> None:
    """Have a signal end a run after the round in which that training of a client is, counted from 1."""
    with monkeypatch.context() as patched:
        signalled(patched, signal.SIGTERM, training_number)
        with pytest.raises(Interrupted):
            training.train(cfg, folder)


def check_finished(folder: Path) -> None:
    record = json.loads((folder / "run.json").read_text())
    assert (record["status"], record.get("reason")) == ("finished", None)
    assert {"device", "threads", "peak_memory_bytes"} <= record.keys()
    assert record["images_per_second"] > 0
    assert record["seconds"] > sum(float(row["seconds"]) for row in rows(folder / "timing.csv"))


@pytest.mark.parametrize("name", SETTINGS)
def test_a_disk_that_was_full_at_the_end(
    name: str, configure: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cfg = configure(*SETTINGS[name], "fl.rounds=2")
    training.train(cfg, tmp_path / "straight")
    assert json.loads((tmp_path / "straight/summary.json").read_text())["absent"] == {
        "diversity": "not of these images"
    }
    with monkeypatch.context() as patched:
        patched.setattr(training, "save_generator", full_disk)
        with pytest.raises(OSError, match="No space left"):
            training.train(cfg, tmp_path / "run")
    record = json.loads((tmp_path / "run/run.json").read_text())
    assert record["status"] == "failed"
    assert "No space left on device" in record["reason"]
    resume(configure, tmp_path / "run")
    assert outcome(tmp_path / "run") == outcome(tmp_path / "straight")
    check_finished(tmp_path / "run")


def test_ctrl_c_while_the_generator_is_written(
    configure: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> NoReturn:
        raise KeyboardInterrupt

    monkeypatch.setattr(training, "save_generator", interrupted)
    with pytest.raises(Interrupted, match="^stopped after 2 of 2 rounds; to continue: .* resume="):
        training.train(configure(), tmp_path / "run")
    record = json.loads((tmp_path / "run/run.json").read_text())
    assert (record["status"], record["reason"]) == ("interrupted", "at once")


@pytest.mark.parametrize("begins", ["as a longer run", "as it ends, and is extended"])
def test_a_run_that_is_to_have_the_rounds_that_it_was_stopped_after(
    begins: str, configure: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its last round has not been evaluated, or the evaluation was taken out again when the run was extended."""
    settings = SETTINGS["between evaluations"]
    training.train(configure(*settings, "fl.rounds=2"), tmp_path / "straight")
    if begins == "as a longer run":
        stop(configure(*settings, "fl.rounds=4"), tmp_path / "run", monkeypatch, training_number=5)
    else:
        training.train(configure(*settings, "fl.rounds=2"), tmp_path / "run")
        with monkeypatch.context() as patched:
            patched.setattr(Server, "serve", full_disk)
            with pytest.raises(OSError, match="No space left"):
                resume(configure, tmp_path / "run", "fl.rounds=4")
    assert [row["emission"] for row in rows(tmp_path / "run/rounds.csv")] == ["", ""]
    resume(configure, tmp_path / "run", "fl.rounds=2")
    assert outcome(tmp_path / "run") == outcome(tmp_path / "straight")
    check_finished(tmp_path / "run")


def test_rounds_of_clients_are_not_taken_for_the_servers_own(
    configure: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cfg = configure(*SETTINGS["fine-tuned"], "fl.rounds=4")
    stop(cfg, tmp_path / "run", monkeypatch, training_number=9)
    with pytest.raises(ValueError, match=r"^fl\.rounds must be at least 3, the rounds that .* has; got 1$"):
        resume(configure, tmp_path / "run", "fl.rounds=1")
