"""Runs: what is in their folders, how they are stopped, resumed and refused."""

import csv
import os
import signal
import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig

from fedgan.config import training
from fedgan.config.refusals import CONF
from fedgan.config.resume import resumed_config
from fedgan.gan.client import GANClient

# Every file that the exactness contract names; the others say when and how fast (run.json, timing.csv).
TABLES = ("rounds.csv", "clients.csv", "receipts.csv", "events.csv")
CONTRACT = ("summary.json", *TABLES, "generator.safetensors", "config.yaml")
# Of Hydra, for runs in other processes than the sweep's.
LAUNCHERS = {
    "joblib": ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2"),
    "submitit": ("hydra/launcher=submitit_local", "hydra.launcher.cpus_per_task=1"),
}


def choices(group: str, *more: str) -> str:
    """The options of a group of conf/, as errors list them; ``more``: a user's own."""
    return ", ".join(sorted([*more, *(file.stem for file in CONF.glob(f"{group}/*.yaml"))]))


def rows(file: Path) -> list[dict[str, str]]:
    """The rows of a CSV file, each by column."""
    with file.open() as stream:
        return list(csv.DictReader(stream))


def events(folder: Path) -> list[dict[str, str]]:
    """The rows of events.csv but for those about the tiny generator, whose images hardly differ so early."""
    return [event for event in rows(folder / "events.csv") if event["kind"] not in ("collapsed", "no_variety")]


def outcome(folder: Path) -> dict[str, bytes]:
    """Everything that the contract is about: files, by name."""
    files = [folder / name for name in CONTRACT] + sorted((folder / "samples").iterdir())
    return {file.name: file.read_bytes() for file in files}


def resume(configure: Callable[..., DictConfig], folder: Path, *overrides: str) -> dict[str, Any]:
    """Continue the run in ``folder`` as ``resume=`` does; its summary."""
    cfg = configure(f"resume={folder}", *overrides, tiny=False)
    return training.train(resumed_config(cfg, [f"resume={folder}", *overrides]), folder)


def signalled(monkeypatch: pytest.MonkeyPatch, number: signal.Signals, *trainings: int) -> list[int]:
    """Have the signal come as these of the clients' trainings begin, counted from 1; the list grows with each."""
    trained: list[int] = []
    original = GANClient.train_locally

    def train_locally(self: GANClient, *args: Any, **kwargs: Any) -> dict[str, float]:
        trained.append(1)
        if len(trained) in trainings:
            os.kill(os.getpid(), number)
        return original(self, *args, **kwargs)

    monkeypatch.setattr(GANClient, "train_locally", train_locally)
    return trained


def refusal(
    call: Callable[..., Any], capsys: pytest.CaptureFixture[str], main: Callable[[], Any], *arguments: str
) -> str:
    """The one line that the command leaves behind."""
    with pytest.raises(SystemExit) as exit_:
        call(main, *arguments)
    message = str(exit_.value.code)
    assert message.startswith("error: "), "a text as exit code is printed to stderr and exits with 1"
    assert "\n" not in message
    assert "Traceback" not in capsys.readouterr().err
    return message


def own_package(folder: Path, files: Mapping[str, str], monkeypatch: pytest.MonkeyPatch) -> Path:
    """Write a user's package ``my_lab`` and its configuration into ``folder``, from which it can be imported."""
    for name, text in {"my_lab/__init__.py": "", **files}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    monkeypatch.syspath_prepend(str(folder))
    for name in [name for name in sys.modules if name.partition(".")[0] == "my_lab"]:
        monkeypatch.delitem(sys.modules, name)
    return folder


def in_process(monkeypatch: pytest.MonkeyPatch, module: str, *arguments: str) -> int:
    """Carry a command of a study out in this process: to start another takes as long as four tiny runs."""
    with monkeypatch.context() as patched:
        patched.setattr("sys.argv", [module, *arguments])
        GlobalHydra.instance().clear()
        try:
            import_module(module).main()
        except SystemExit as stop:
            print(stop.code, file=sys.stderr)
            return 1
        finally:
            GlobalHydra.instance().clear()
    return 0
