"""``fedgan COMMAND``: the same commands under one name."""

import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import yaml

import fedgan
from fedgan.__main__ import COMMANDS, main
from tests.helpers.federation import TINY

PRINTED = pytest.CaptureFixture[str]
PACKAGE = Path(fedgan.__file__).parent


def typed(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    monkeypatch.setattr(sys, "argv", ["fedgan", *arguments])
    main()


def test_each_module_with_a_main_is_a_command() -> None:
    modules = {file.stem for file in PACKAGE.glob("*.py") if file.stem[0] != "_"}
    assert modules == COMMANDS.keys()
    assert all(callable(import_module(f"fedgan.{name}").main) for name in COMMANDS)


def test_a_run(call: Callable[..., Any], tmp_path: Path) -> None:
    call(main, "train", *TINY, "fl.rounds=1", "hydra.run.dir=run")
    assert yaml.safe_load((tmp_path / "run/config.yaml").read_text())["fl"]["rounds"] == 1


@pytest.mark.parametrize("arguments", [(), ("--help",), ("-h",)])
def test_help_lists_the_commands(arguments: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: PRINTED) -> None:
    typed(monkeypatch, *arguments)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines if line.startswith("  ")] == list(COMMANDS)


def test_the_version(monkeypatch: pytest.MonkeyPatch, capsys: PRINTED) -> None:
    typed(monkeypatch, "--version")
    assert capsys.readouterr().out == f"{fedgan.__version__}\n"


@pytest.mark.parametrize(("name", "meant"), [("trian", "; did you mean train?"), ("xyz", "")])
def test_a_misspelled_command(name: str, meant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SystemExit) as stopped:
        typed(monkeypatch, name)
    assert stopped.value.code == f"error: {name} is not a command; fedgan has: {', '.join(COMMANDS)}{meant}"
