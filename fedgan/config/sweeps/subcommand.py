"""A command of fedgan that another starts, in a process of its own."""

import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from fedgan.config.refusals import INTERRUPTED, Interrupted

STOPPED = (INTERRUPTED, -signal.SIGINT, -signal.SIGTERM, -signal.SIGHUP)


def call(module: str, *arguments: str, resumes: str = "the same command resumes") -> int:
    """Run a command in its own process, with this terminal; returns its exit code.

    Args:
        module: of the command.
        arguments: behind it.
        resumes: what continues it, if a signal stops it.

    Raises:
        Interrupted: if a signal stopped it.
    """
    print("python -m", shlex.join((module, *arguments)), file=sys.stderr)
    with subprocess.Popen([sys.executable, "-m", module, *arguments]) as process, left_to(process):
        code = process.wait()
    if code in STOPPED:
        raise Interrupted(f"stopped; {resumes}")
    return code


@contextmanager
def left_to(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """Leave signals to the process, which finishes its round; Ctrl-C reaches it from the terminal by itself."""
    before = {
        signal.SIGINT: signal.signal(signal.SIGINT, signal.SIG_IGN),
        signal.SIGTERM: signal.signal(signal.SIGTERM, lambda *_: process.terminate()),
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
