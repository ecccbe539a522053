"""How a run's processes are started, counted and watched; whole runs over several are in test_processes.py."""

import logging
import os
import subprocess
import sys
import threading
import time
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from lightning_fabric.plugins.environments.slurm import SLURMEnvironment
from pytorch_lightning.accelerators import CPUAccelerator
from torch import distributed

from fedgan.federated.strategy import (
    FederatedStrategy,
    FolderLauncher,
    cluster,
    count_processes,
    is_first,
    launched_elsewhere,
)


class Cluster:
    """The second of two machines."""

    main_address, main_port = "10.0.0.1", 29500

    def __init__(self, creates_processes_externally: bool = False) -> None:
        self.creates_processes_externally = creates_processes_externally

    def node_rank(self) -> int:
        return 1

    def validate_settings(self, *, num_devices: int, num_nodes: int) -> None:
        self.validated = num_devices, num_nodes

    def teardown(self) -> None:
        self.is_down = True


def launcher(external: bool = False) -> FolderLauncher:
    """Of three processes on each of two machines."""
    return FolderLauncher(["resume=a b", "trust=[my_lab]"], Cluster(external), 3, 2)


def test_the_other_processes_get_the_runs_folder_and_their_places(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[dict[str, Any]] = []
    monkeypatch.setattr(subprocess, "Popen", lambda command, env: started.append({"command": command, "env": env}))
    monkeypatch.setenv("OF_THE_USER", "kept")
    one, before = launcher(), dict(os.environ)
    one._call_children_scripts()
    assert dict(os.environ) == before, "the next run of a sweep would take them for its own"
    assert len(one.procs) == 2, "this process is the first of the three"
    assert [each["command"] for each in started] == [
        [sys.executable, "-m", "fedgan.train", "resume=a b", "trust=[my_lab]"]
    ] * 2
    shared = {"MASTER_ADDR": "10.0.0.1", "MASTER_PORT": "29500", "NODE_RANK": "1", "WORLD_SIZE": "6"}
    assert [each["env"] for each in started] == [{**before, **shared, "LOCAL_RANK": rank} for rank in ("1", "2")]


@pytest.mark.parametrize("external", [True, False])
def test_processes_are_started_and_watched_unless_something_else_has_started_them(
    external: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    called, daemons, watched, one = list[str](), list[bool](), threading.Event(), launcher(external)

    def watch() -> None:
        daemons.append(threading.current_thread().daemon)
        watched.set()

    monkeypatch.setattr(one, "_call_children_scripts", lambda: called.append("start"))
    monkeypatch.setattr(one, "_watch_the_start", watch)
    assert one.launch(lambda a, b: (a, b), 1, trainer=None, b=2) == (1, 2)
    assert one.cluster_environment.validated == (3, 2)
    assert called == ([] if external else ["start"])
    assert watched.wait(0.2 if external else 10) is not external
    assert all(daemons), "a process that ends does not wait for its watcher"


@pytest.mark.parametrize(("cores", "share"), [(16, 5), (2, 1), (None, 1)])
def test_cores_are_shared_out_unless_the_user_has_said_how(
    cores: int | None, share: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[int] = []
    monkeypatch.setattr(os, "cpu_count", lambda: cores)
    monkeypatch.setattr(torch, "set_num_threads", threads.append)
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    launcher(external=True).launch(lambda: None)
    assert threads == []
    monkeypatch.delenv("OMP_NUM_THREADS")
    launcher(external=True).launch(lambda: None)
    assert threads == [share]


class Child:
    """A process that says at one look after the other whether it has ended."""

    def __init__(self, *codes: int | None) -> None:
        self.codes, self.returncode, self.killed = iter(codes), None, False

    def poll(self) -> int | None:
        self.returncode = next(self.codes, self.returncode)
        return self.returncode

    def kill(self) -> None:
        self.killed = True


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds; nobody waits for them, and after ten all processes have met."""
    seconds: list[float] = []
    monkeypatch.setattr(time, "sleep", seconds.append)
    monkeypatch.setattr(distributed, "is_initialized", lambda: len(seconds) >= 10)

    def leave(code: int) -> None:
        raise SystemExit(code)

    monkeypatch.setattr(os, "_exit", leave)
    return seconds


def test_one_that_fails_before_all_have_met_ends_them_all(
    slept: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    one, children = launcher(), [Child(None, None), Child(None, 3)]
    one.procs = children  # type: ignore[assignment]
    with pytest.raises(SystemExit) as left:
        one._watch_the_start()
    assert left.value.code == 1
    assert all(child.killed for child in children)
    assert sum(slept) < 1, "seen within a second"
    said = capsys.readouterr().err
    assert said == "error: another process of this run ended at its start (exit code 3)\n"


def test_one_that_ended_well_and_those_that_run_are_left_alone(slept: list[float]) -> None:
    one, children = launcher(), [Child(None), Child(0)]
    one.procs = children  # type: ignore[assignment]
    one._watch_the_start()
    assert len(slept) == 10
    assert not any(child.killed for child in children)


def test_slurm_is_known_and_its_handler_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lightning's own would write a checkpoint amid a round and put the job back into the queue."""
    monkeypatch.setattr(SLURMEnvironment, "detect", lambda: False)
    assert cluster() == []
    monkeypatch.setattr(SLURMEnvironment, "detect", lambda: True)
    (slurm,) = cluster()
    assert not slurm.auto_requeue


@pytest.mark.parametrize(
    ("settings", "count"),
    [({}, 1), ({"devices": 3}, 3), ({"num_nodes": 2}, 2), ({"devices": [0, 3], "num_nodes": 4}, 8)],
)
def test_a_process_a_device_on_every_machine(settings: dict[str, Any], count: int) -> None:
    assert count_processes(settings) == count


@pytest.mark.parametrize("rank", ["RANK", "LOCAL_RANK", "NODE_RANK", "GROUP_RANK", "SLURM_PROCID"])
def test_the_first_of_several_has_rank_zero_in_every_way_of_counting(rank: str) -> None:
    assert is_first(2, {})
    assert is_first(2, {rank: "0"})
    assert not is_first(2, {rank: "1"})
    assert is_first(1, {rank: "1"}), "alone, whatever the job it belongs to calls it"


@pytest.mark.parametrize(
    ("environment", "elsewhere"),
    [
        ({}, False),
        ({"SLURM_NTASKS": "1"}, False),
        ({"SLURM_NTASKS": "2"}, True),
        ({"LOCAL_RANK": "0"}, True),
        ({"NODE_RANK": "0"}, True),
        ({"GROUP_RANK": "0"}, True),
        ({"HOME": "/"}, False),
    ],
)
def test_processes_that_something_else_started_are_recognized(environment: dict[str, str], elsewhere: bool) -> None:
    assert launched_elsewhere(environment) is elsewhere


def test_the_processes_started_here_take_the_folder_and_the_trusted_packages(tmp_path: Path) -> None:
    strategy = FederatedStrategy(tmp_path, ["my_lab", "theirs"])
    strategy.cluster_environment, strategy.parallel_devices = Cluster(), [torch.device("cpu")] * 3  # type: ignore[assignment]
    strategy._configure_launcher()
    made = strategy.launcher
    assert isinstance(made, FolderLauncher)
    assert made.settings == [f"resume={tmp_path}", "trust=[my_lab,theirs]"]
    assert (made.cluster_environment, made.num_processes, made.num_nodes) == (strategy.cluster_environment, 3, 1)


def test_messages_travel_between_cpus_and_what_is_no_tensor_stays(tmp_path: Path) -> None:
    strategy = FederatedStrategy(tmp_path)
    assert strategy._get_process_group_backend() == "gloo"
    decision = SimpleNamespace()
    assert strategy.reduce(decision) is decision


def test_processes_wait_for_an_evaluation_and_lightning_is_quiet_about_them(tmp_path: Path) -> None:
    logger = logging.getLogger("lightning_fabric.utilities.distributed")
    logger.setLevel(logging.INFO)
    assert FederatedStrategy(tmp_path)._timeout >= timedelta(hours=12)
    assert not logger.isEnabledFor(logging.INFO)
    assert logger.isEnabledFor(logging.WARNING)


def test_nothing_is_left_behind_for_the_next_run_of_a_sweep(tmp_path: Path) -> None:
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        strategy = FederatedStrategy(tmp_path)
        strategy.accelerator, strategy.cluster_environment = CPUAccelerator(), Cluster()  # type: ignore[assignment]
        distributed.init_process_group("gloo", store=distributed.HashStore(), rank=0, world_size=1)
        torch.set_num_threads(2)
        strategy.teardown()
        assert strategy.cluster_environment.is_down
        assert torch.get_num_threads() == 3
        assert not distributed.is_initialized()
    finally:
        torch.set_num_threads(before)
