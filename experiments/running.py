"""What a study is made of: commands that a user could type, each done once, gone on with after a stop."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from threading import Event
from typing import IO, Any

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig
from rich.console import Console
from rich.progress import track

from fedgan.config.refusals import CONF
from fedgan.config.resume import WHERE, is_begun, leaves, recorded_settings
from fedgan.runs.folder import record_of

# Settings that may differ between two starts of one run: where things are, and how many processes there are.
ELSEWHERE = {"resume", "dataset.root", "dataset.file", "dataset.cache_dir", "metrics.lpips.weights", *WHERE}


@dataclass(frozen=True)
class Job:
    """A command of a study.

    Attributes:
        name: what it is called on the screen.
        folder: what it makes.
        command: the module and its arguments.
        is_done: whether the folder holds all of it already; such a job is left out.
    """

    name: str
    folder: Path
    command: Sequence[str]
    is_done: Callable[[], bool]


def training(name: str, overrides: Sequence[str], folder: Path) -> Job:
    """A run with these overrides in this folder; one that is there and stopped half-way goes on.

    Raises:
        ValueError: in one line, if the folder holds a run with other settings.
    """
    settings = [f"resume={folder}"] if holds(folder, overrides) else [*overrides, f"hydra.run.dir={folder}"]
    return Job(name, folder, ("fedgan.train", *settings), lambda: is_finished(folder, overrides))


def is_finished(folder: Path, overrides: Sequence[str]) -> bool:
    """Whether ``folder`` holds a finished run with these overrides."""
    return holds(folder, overrides) and record_of(folder).get("status") == "finished"


def holds(folder: Path, overrides: Sequence[str]) -> bool:
    """Whether ``folder`` holds a run with these overrides, finished or not.

    What counts is what the overrides come to: a run made before a file of conf/ was edited is another run.

    Raises:
        ValueError: in one line, if it holds a run with other settings.
    """
    if not is_begun(folder):
        return False
    then, now = leaves(recorded_settings(folder)), settings_of(tuple(overrides))
    for key in sorted((then.keys() | now.keys()) - ELSEWHERE):
        if then.get(key) != now.get(key):
            here = f"{key}={now.get(key)}"
            raise ValueError(f"{folder} must hold a run with {here}, or none; its run has {key}={then.get(key)}")
    return True


def settings_of(overrides: tuple[str, ...]) -> dict[str, Any]:
    """Every setting of ``python -m fedgan.train`` with these overrides, by its full name."""
    seed = next((override for override in overrides if override.startswith("seed=")), None)
    rest = _composed(tuple(override for override in overrides if override != seed))
    return rest if seed is None else rest | {"seed": int(seed.removeprefix("seed="))}


@cache  # a quarter of a second each, and runs of several seeds differ in nothing else
def _composed(overrides: tuple[str, ...]) -> dict[str, Any]:
    return leaves(composed("config", overrides))


def composed(name: str, overrides: Sequence[str]) -> DictConfig:
    """What a command's configuration comes to with these overrides; within a command Hydra is at conf/ already."""
    within = GlobalHydra.instance().is_initialized()
    with nullcontext() if within else initialize_config_dir(str(CONF), version_base="1.3"):
        return compose(name, overrides=list(overrides))


def carry_out(jobs: Sequence[Job], *, at_once: int, threads: int) -> dict[Path, str]:
    """Do what is not done yet, several at once, with a log file each; what fails does not stop the others.

    Args:
        jobs: none of which needs another.
        at_once: how many run side by side.
        threads: of each. The last bits of a run's sums hang on it.

    Returns:
        For each job that failed, by its folder, a line: its name, its last words, its log.
    """
    missing = [job for job in jobs if not job.is_done()]
    console = Console(stderr=True)
    if len(jobs) > len(missing):
        console.print(f"{len(jobs) - len(missing)} of {len(jobs)} done before", highlight=False)
    if not missing:
        return {}
    workers, failures = _Workers(threads), dict[Path, str]()
    with _signals_as_ctrl_c(), ThreadPoolExecutor(at_once) as pool:
        waiting = [pool.submit(workers.call, job) for job in missing]
        try:
            for done in track(as_completed(waiting), f"{len(missing)} to do", len(missing), console=console):
                job, said, failed = done.result()
                console.print(said, highlight=False, soft_wrap=True)
                failures |= {job.folder: said} if failed else {}
        except BaseException:
            workers.stop()
            raise
    return failures


class _Workers:
    """Processes, a job each; once stopped, no other begins."""

    def __init__(self, threads: int) -> None:
        self.environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
        self.running: set[subprocess.Popen[bytes]] = set()
        self.stopped = Event()

    def call(self, job: Job) -> tuple[Job, str, bool]:
        """Do it and wait for its end; what is to be said of it, and whether it failed."""
        if self.stopped.is_set():
            return job, f"{job.name}: not begun", True
        job.folder.parent.mkdir(parents=True, exist_ok=True)
        log = job.folder.with_name(f"{job.folder.name}.log")
        start = time.perf_counter()
        with log.open("a") as stream:
            print("python -m", *job.command, file=stream, flush=True)
            code = self._run(job.command, stream)
        if code:
            said = f"{job.name} ended with exit code {code}; its last words: {_last_line(log)} ({log})"
            return job, said, True
        return job, f"{job.name}: {time.perf_counter() - start:.0f} s", False

    def stop(self) -> None:
        """A run finishes its round and writes its checkpoint."""
        self.stopped.set()
        for process in tuple(self.running):
            process.terminate()

    def _run(self, command: Sequence[str], stream: IO[str]) -> int:
        arguments = [sys.executable, "-m", *command]
        # A session of its own: Ctrl-C reaches it once, from here, and not twice.
        with subprocess.Popen(
            arguments, env=self.environment, stdout=stream, stderr=stream, start_new_session=True
        ) as process:
            self.running.add(process)
            if self.stopped.is_set():  # while it was being started
                process.terminate()
            code = process.wait()
            self.running.discard(process)
        return code


@contextmanager
def _signals_as_ctrl_c() -> Iterator[None]:
    """SIGTERM, and the end of the terminal."""
    before = {number: signal.signal(number, signal.default_int_handler) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _last_line(log: Path) -> str:
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1] if lines else "none"
