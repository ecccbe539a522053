import importlib.metadata
import subprocess
from pathlib import Path

import pytest

from fedgan.runs import provenance
from fedgan.runs.provenance import git_state, versions

WRITTEN = {
    "fedgan/code.py": "1",
    "fedgan/runs/more.py": "1",
    "conf/a.yaml": "a: 1",
    "experiments/study.py": "1",
    "experiments/LOG.md": "text",
    "pyproject.toml": "",
}


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, text in WRITTEN.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
    for command in (["init", "-q"], ["add", "."], [*identity, "commit", "-qm", "first"]):
        subprocess.run(["git", *command], cwd=tmp_path, check=True)
    monkeypatch.setattr(provenance, "__file__", str(tmp_path / "fedgan/runs/provenance.py"))
    return tmp_path


def test_a_fresh_checkout_is_clean(checkout: Path):
    state = git_state()
    assert len(state["commit"]) == 40
    assert state["dirty"] is False


@pytest.mark.parametrize(
    "name", ["fedgan/code.py", "fedgan/new.py", "conf/a.yaml", "experiments/study.py", "pyproject.toml"]
)
def test_what_a_result_hangs_on_makes_it_dirty(checkout: Path, name: str):
    (checkout / name).write_text("changed")
    assert git_state()["dirty"] is True


@pytest.mark.parametrize(
    "name", ["fedgan/notes.md", "experiments/LOG.md", "experiments/results/table.csv", "README.md"]
)
def test_texts_and_results_do_not(checkout: Path, name: str):
    (checkout / name).parent.mkdir(parents=True, exist_ok=True)
    (checkout / name).write_text("changed")
    assert git_state()["dirty"] is False


def test_outside_a_checkout_nothing_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(provenance, "__file__", str(tmp_path / "environment.py"))
    assert git_state() == {"commit": None, "dirty": None}


def test_a_checkout_that_is_not_installed_has_a_version(monkeypatch: pytest.MonkeyPatch):
    def installed(name: str) -> str:
        if name == "fedgan":
            raise importlib.metadata.PackageNotFoundError(name)
        return f"{name}'s"

    monkeypatch.setattr(provenance, "version", installed)
    assert versions()["fedgan"] == provenance.__version__
    assert versions()["numpy"] == "numpy's"
