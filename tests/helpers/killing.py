"""A training run in a process of its own that kills itself at a chosen place, halfway through if possible."""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from fedgan import train
from fedgan.config import training
from fedgan.core import files
from fedgan.federated import server
from fedgan.gan import client
from fedgan.runs import record
from tests.helpers.forked import forked


def killed_run(folder: Path, place: str, n: int, arguments: list[str]) -> int | None:
    """Train in another process, which kills itself at the n-th call of some function; its exit code.

    Args:
        folder: the run's; its parent is the process' current folder.
        place: a key of ``owners``.
        n: counted from 1.
        arguments: of ``python -m fedgan.train``.
    """
    process = forked(_train, str(folder.parent), place, n, arguments)
    process.join(120)
    code: int | None = process.exitcode
    return code


def _train(folder: str, place: str, n: int, arguments: list[str]) -> None:
    os.chdir(folder)
    owners: dict[str, tuple[Any, str, Callable[..., Any]]] = {
        "training": (client.GANClient, "step", _nothing),
        "aggregation": (server.Server, "serve", _nothing),
        "checkpoint": (torch, "save", _half_a_file),
        "rename": (files.os, "replace", _nothing),
        "record": (record.Recorder, "_append", _half_a_row),
        "generator": (training, "save_generator", _nothing),
        "summary": (record, "write_json", _nothing),
        "end": (record, "write_json_in_place", _nothing),
    }
    owner, name, halfway = owners[place]
    original, calls = getattr(owner, name), []

    def counted(*arguments: Any, **keywords: Any) -> Any:
        calls.append(1)
        if len(calls) == n:
            halfway(*arguments)
            os.kill(os.getpid(), signal.SIGKILL)
        return original(*arguments, **keywords)

    setattr(owner, name, counted)
    sys.argv = ["train", *arguments]
    train.main()


def _nothing(*_: Any) -> None:
    pass


def _half_a_file(content: Any, stream: Any) -> None:
    stream.write(b"PK" * 5000)


def _half_a_row(recorder: Any, name: str, rows: Any) -> None:
    with (recorder.folder / name).open("a") as file:
        file.write("3,0.5")
