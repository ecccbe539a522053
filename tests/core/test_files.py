"""The cache's place and writing without half files."""

import os
from pathlib import Path

import pytest

from fedgan.core.files import atomic_write, cache_dir, keep


def test_setting_wins(tmp_path: Path) -> None:
    assert cache_dir(str(tmp_path / "a" / "b")) == tmp_path / "a" / "b"


def test_keeping_makes_the_folder_and_never_fails(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    def write(path: Path) -> None:
        path.write_text("whole")

    keep(tmp_path / "a" / "b.txt", write)
    assert (tmp_path / "a" / "b.txt").read_text() == "whole"
    assert not caplog.records
    keep(tmp_path / "a" / "b.txt" / "c.txt", write)
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "cannot keep c.txt" in caplog.text


def test_xdg_then_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_dir(None) == tmp_path / "xdg" / "fedgan"
    for unusable in ("", "relative"):
        monkeypatch.setenv("XDG_CACHE_HOME", unusable)
        assert cache_dir(None) == tmp_path / ".cache" / "fedgan"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_dir(None) == tmp_path / ".cache" / "fedgan"


def test_failed_write_leaves_the_old_file_alone(tmp_path: Path) -> None:
    def half(temporary: Path) -> None:
        temporary.write_text("ha")
        raise OSError("disk full")

    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(OSError, match="disk full"):
        atomic_write(path, half)
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]
