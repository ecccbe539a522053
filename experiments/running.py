"""What a study is made of: commands that a user could type, each done once, gone on with after a stop."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import IO

from omegaconf import OmegaConf
from rich.console import Console
from rich.progress import track

from fedgan.resume import record_of


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
    """A run with these overrides in this folder; one that is there and stopped half-way goes on."""
    begun = is_begun(folder, overrides)
    settings = [f"resume={folder}"] if begun else [*overrides, f"hydra.run.dir={folder}"]
    return Job(name, folder, ("fedgan.train", *settings), lambda: is_finished(folder, overrides))


def is_finished(folder: Path, overrides: Sequence[str]) -> bool:
    """Whether ``folder`` holds a finished run of these very overrides."""
    return is_begun(folder, overrides) and record_of(folder).get("status") == "finished"


def is_begun(folder: Path, overrides: Sequence[str]) -> bool:
    """Whether ``folder`` holds a run of these very overrides, finished or not."""
    typed = folder / ".hydra" / "overrides.yaml"
    whole = typed.is_file() and (folder / "config.yaml").is_file()
    return whole and sorted(OmegaConf.load(typed)) == sorted(overrides)


def carry_out(jobs: Sequence[Job], *, at_once: int, threads: int) -> None:
    """Do what is not done yet, several at once, with a log file each; stops at the first that fails.

    Args:
        jobs: none of which needs another.
        at_once: how many run side by side.
        threads: of each. The last bits of a run's sums hang on it.

    Raises:
        ValueError: in one line, naming the job that failed and its log.
    """
    missing = [job for job in jobs if not job.is_done()]
    if len(jobs) > len(missing):
        Console(stderr=True).print(f"{len(jobs) - len(missing)} of {len(jobs)} done before", highlight=False)
    workers = _Workers(threads)
    with _sigterm_as_ctrl_c(), ThreadPoolExecutor(at_once) as pool:
        waiting = [pool.submit(workers.call, job) for job in missing]
        try:
            console = Console(stderr=True)
            for done in track(as_completed(waiting), f"{len(missing)} to do", len(missing), console=console):
                console.print(done.result(), highlight=False)
        except BaseException:
            workers.stop()
            raise


class _Workers:
    """Processes, a job each; once stopped, no other begins."""

    def __init__(self, threads: int) -> None:
        self.environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
        self.running: set[subprocess.Popen[bytes]] = set()
        self.stopped = Event()

    def call(self, job: Job) -> str:
        """Do it, wait for its end, and say how long it took."""
        if self.stopped.is_set():
            return f"{job.name}: not begun"
        start = time.perf_counter()
        job.folder.parent.mkdir(parents=True, exist_ok=True)
        log = job.folder.with_name(f"{job.folder.name}.log")
        with log.open("a") as stream, self._start(job.command, stream) as process:
            self.running.add(process)
            code = process.wait()
            self.running.discard(process)
        if code:
            self.stopped.set()
            raise ValueError(f"{job.name} ended with exit code {code}; its last words: {_last_line(log)} ({log})")
        return f"{job.name}: {time.perf_counter() - start:.0f} s"

    def stop(self) -> None:
        """A run finishes its round and writes its checkpoint."""
        self.stopped.set()
        for process in tuple(self.running):
            process.terminate()

    def _start(self, command: Sequence[str], stream: IO[str]) -> subprocess.Popen[bytes]:
        arguments = [sys.executable, "-m", *command]
        # A session of its own: Ctrl-C reaches it once, from here, and not twice.
        return subprocess.Popen(arguments, env=self.environment, stdout=stream, stderr=stream, start_new_session=True)


@contextmanager
def _sigterm_as_ctrl_c() -> Iterator[None]:
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _last_line(log: Path) -> str:
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1] if lines else "none"
