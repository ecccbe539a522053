"""Other processes that are forked from one with torch and Lightning: to import them takes longer than a tiny run."""

import multiprocessing
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any

import torch

CONTEXT = multiprocessing.get_context("forkserver")


def forked(function: Callable[..., Any], *arguments: Any) -> Any:
    """Start a function of a module in such a process."""
    CONTEXT.set_forkserver_preload(["fedgan.config.training"])
    process = CONTEXT.Process(target=function, args=arguments, daemon=True)
    process.start()
    return process


class Forked:
    """What ``subprocess.Popen`` is for ``python -m MODULE ARGUMENT...``, as far as a run needs it."""

    def __init__(self, command: Sequence[str], env: Mapping[str, str]) -> None:
        assert list(command[:2]) == [sys.executable, "-m"]
        self.args = command
        self._process = forked(_main, *command[2:3], list(command[3:]), dict(env))

    @property
    def returncode(self) -> int | None:
        """Of a process that has ended; less than 0: by which signal."""
        code: int | None = self._process.exitcode
        return code

    def poll(self) -> int | None:
        """See ``returncode``."""
        return self.returncode

    def wait(self, timeout: float) -> int:
        """The code with which it ends within so many seconds."""
        self._process.join(timeout)
        if self.returncode is None:
            raise subprocess.TimeoutExpired(self.args, timeout)
        return self.returncode

    def kill(self) -> None:
        """At once."""
        self._process.kill()


def _main(module: str, arguments: list[str], environment: dict[str, str]) -> None:
    os.environ.clear()
    os.environ.update(environment)
    if "OMP_NUM_THREADS" in environment:  # which torch reads when it is imported
        torch.set_num_threads(int(environment["OMP_NUM_THREADS"]))
    sys.argv = [module, *arguments]
    import_module(module).main()
