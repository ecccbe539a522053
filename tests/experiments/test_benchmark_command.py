"""The benchmarks' command: one by its name in its own folder, or all of them, one process each."""

import subprocess
from collections.abc import Callable, Sequence
from inspect import signature
from pathlib import Path
from typing import Any

import pytest
import yaml
from hydra.utils import get_class

from experiments.benchmarks import __main__ as benchmarks
from experiments.benchmarks.base import Benchmark, Row
from fedgan.config.refusals import CONF


class Counted(Benchmark):
    title, goal = "nothing", "no time"

    def measure(self, folder: Path) -> Sequence[Row]:
        return [{"case": folder.parent.name, "seconds": 0.5}]


@pytest.mark.parametrize("file", sorted((CONF / "benchmark").glob("*.yaml")), ids=lambda file: file.stem)
def test_every_file_of_conf_is_a_benchmark_with_its_settings(file: Path) -> None:
    settings = dict(yaml.safe_load(file.read_text()))
    kind = get_class(settings.pop("_target_"))
    assert issubclass(kind, Benchmark)
    hydras = ("defaults", "_convert_", "_recursive_")
    signature(kind).bind(**{name: value for name, value in settings.items() if name not in hydras})


def test_a_benchmark_finds_its_folder(
    call: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """outputs/benchmarks/<name>/<date>_<time>, by Hydra's choice: hydra.run.dir is read before HydraConfig is set."""
    monkeypatch.setattr(benchmarks, "instantiate", lambda _: Counted())
    call(benchmarks.main, "startup")
    (file,) = (tmp_path / "outputs/benchmarks/startup").glob("*/startup.csv")
    assert file.read_text() == "case,seconds\nstartup,0.5\n"


def test_without_a_name_all_run_and_failures_are_named(
    call: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[str] = []

    def run(command: list[str], check: bool) -> subprocess.CompletedProcess[bytes]:
        ran.append(command[3])
        return subprocess.CompletedProcess(command, int(command[3] == "gpu"))

    monkeypatch.setattr(subprocess, "run", run)
    with pytest.raises(SystemExit, match="^error: failed: gpu$"):
        call(benchmarks.main)
    assert ran == sorted(file.stem for file in (CONF / "benchmark").glob("*.yaml"))
