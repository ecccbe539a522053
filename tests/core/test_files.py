"""The cache's place, writing without half files, and folders of which only fedgan's own files are touched."""

import json
import os
import re
from pathlib import Path

import pytest
import torch

from fedgan.core.arguments import validated
from fedgan.core.checks import as_typed
from fedgan.core.files import atomic_write, cache_dir, keep
from fedgan.core.folders import LEDGER, Folder, FolderName, check_empty, claim, named_folder, remove_empty
from fedgan.runs.folder import check_new, clear_leftovers, open_folder

LEFT = "fedgan-" + "0123456789abcdef" * 2  # in the name of a file that atomic_write did not finish


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def inside(folder: Path) -> set[str]:
    return {str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file()}


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


# Folders


@pytest.mark.parametrize("text", ["", "  ", None, "None", "~", "~/runs"])
def test_a_folder_that_was_not_named_or_not_written_out_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match=f"^here must be a folder.*; got {re.escape(as_typed(text))}$"):
        named_folder("here", text)
    assert named_folder("here", "a/~b") == Path("a/~b")


def test_only_empty_folders_are_removed(tmp_path: Path) -> None:
    touch(tmp_path, "full/file", "file")
    (tmp_path / "outer" / "inner").mkdir(parents=True)
    (tmp_path / "target").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "target")
    names = ("full", "file", "link", "absent", "outer/inner", "outer")
    remove_empty(tmp_path / name for name in names)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["file", "full", "link", "target"]
    assert inside(tmp_path) == {"full/file", "file"}


def test_paths_are_refused_as_they_are_read_and_objects_by_their_class(tmp_path: Path) -> None:
    touch(tmp_path, "file")
    assert validated("here", Folder, tmp_path) == tmp_path
    assert validated("here", Folder, tmp_path / "absent") == tmp_path / "absent"
    with pytest.raises(ValueError, match=f"^here must be a folder; got '{tmp_path}/file'$"):
        validated("here", Folder, tmp_path / "file")
    assert as_typed(torch.nn.Sequential(torch.nn.Identity())) == "'Sequential'", "its own words are several lines"
    assert as_typed([1, None]) == "[1, None]"


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a\0b", "é" * 128, "\udcff"])
def test_names_that_no_folder_can_have(name: str) -> None:
    with pytest.raises(ValueError) as error:
        validated("name", FolderName, name)
    assert str(error.value) == f"name must be a name that a folder can have; got {name!r}"
    assert validated("name", FolderName, "é" * 127) == "é" * 127


def test_a_folder_with_a_file_is_not_empty(tmp_path: Path) -> None:
    touch(tmp_path, "full/file", "file")
    (tmp_path / "empty").mkdir()
    for free in ("empty", "absent"):
        check_empty("here", tmp_path / free)
    for taken in ("full", "file"):
        with pytest.raises(ValueError, match=f"^here must be a new or empty folder; got '{tmp_path}/{taken}'$"):
            check_empty("here", tmp_path / taken)


def test_files_are_claimed_before_they_are_written_and_those_of_others_are_left_alone(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "results"
    claim(folder, ["b.csv", "a.csv"], "results")
    assert json.loads((folder / LEDGER).read_text()) == {"written by": "fedgan", "files": ["a.csv", "b.csv"]}
    touch(folder, "a.csv", "theirs.csv")
    claim(folder, ["a.csv", "c.csv"], "results")
    assert json.loads((folder / LEDGER).read_text())["files"] == ["a.csv", "b.csv", "c.csv"]
    words = f"results: {folder} already contains files that fedgan did not write: theirs.csv"
    with pytest.raises(ValueError, match=f"^{re.escape(words)}$"):
        claim(folder, ["a.csv", "theirs.csv"], "results")
    assert json.loads((folder / LEDGER).read_text())["files"] == ["a.csv", "b.csv", "c.csv"]


def test_a_claim_that_says_nothing_new_writes_nothing(tmp_path: Path) -> None:
    claim(tmp_path, ["a.csv", "b.csv"], "results")
    before = (tmp_path / LEDGER).stat().st_ino
    claim(tmp_path, ["b.csv"], "results")
    assert (tmp_path / LEDGER).stat().st_ino == before


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"files": 3}', "null"])
def test_a_damaged_ledger_makes_nothing_fedgans_own(tmp_path: Path, content: str) -> None:
    touch(tmp_path, "a.csv")
    (tmp_path / LEDGER).write_text(content)
    with pytest.raises(ValueError, match="that fedgan did not write"):
        claim(tmp_path, ["a.csv"], "results")


# A run's folder


@pytest.mark.parametrize(
    ("names", "record", "words"),
    [
        ((), {"status": "finished", "versions": {"fedgan": "0.1"}}, "a folder without a finished run; got '{}'"),
        (
            ("checkpoints/round_0000.ckpt",),
            {"status": "failed", "versions": {"fedgan": "0.1"}},
            "a folder without a run (resume=auto resumes it); got '{}'",
        ),
        (("b", "a"), None, "a new or empty folder; {} contains a, b"),
        (("a", "b", "c"), None, "a new or empty folder; {} contains a, b, c"),
        (("a", "b", "c", "d"), None, "a new or empty folder; {} contains a, b, c and more"),
        (("a",), {"status": "failed"}, "a new or empty folder; {} contains a, run.json"),
        (("a",), {"versions": {"other": 1}}, "a new or empty folder; {} contains a, run.json"),
    ],
)
def test_a_run_begins_in_no_folder_with_other_files(
    tmp_path: Path, names: tuple[str, ...], record: object, words: str
) -> None:
    touch(tmp_path, *names)
    if record is not None:
        (tmp_path / "run.json").write_text(json.dumps(record))
    before = inside(tmp_path)
    with pytest.raises(ValueError, match=f"^hydra.run.dir must be {re.escape(words.format(tmp_path))}$"):
        check_new(tmp_path)
    assert inside(tmp_path) == before


def test_a_run_begins_in_no_file(tmp_path: Path) -> None:
    touch(tmp_path, "file")
    with pytest.raises(ValueError, match=f"^hydra.run.dir must be a folder; got '{tmp_path}/file'$"):
        check_new(tmp_path / "file")


def test_a_run_begins_where_nothing_is_or_only_traces_of_a_start(tmp_path: Path) -> None:
    check_new(tmp_path / "absent")
    (tmp_path / "new").mkdir()
    check_new(tmp_path / "new")
    touch(tmp_path, "traces/.lock", "traces/.hydra/hydra.yaml", "traces/train.log", f"traces/.run.{LEFT}.json")
    check_new(tmp_path / "traces")
    touch(tmp_path, "failed/rounds.csv", "failed/notes.txt")
    (tmp_path / "failed" / "run.json").write_text('{"status": "failed", "versions": {"fedgan": "0.1.0"}}')
    check_new(tmp_path / "failed")
    assert not (tmp_path / "absent").exists()


def test_a_start_clears_what_an_earlier_one_wrote_and_nothing_else(tmp_path: Path) -> None:
    run = tmp_path / "deep" / "run"
    own = ("summary.json", "generator.safetensors", "rounds.csv", "clients.csv", "events.csv", "timing.csv")
    states = ("checkpoints/round_0000.ckpt", "checkpoints/clients/client_0000_round_0000.ckpt")
    others = ("notes.csv", "samples/mine.png", "checkpoints/best.ckpt", "checkpoints/clients/a.ckpt", ".lock")
    touch(run, *own, *states, *others, "samples/round_0001.png", f".run.{LEFT}.json", f"samples/.round.{LEFT}.png")
    open_folder(run)
    assert inside(run) == {*others, "run.json"}
    record = json.loads((run / "run.json").read_text())
    assert record["status"] == "running"
    assert "fedgan" in record["versions"]
    open_folder(tmp_path / "new" / "run")
    assert inside(tmp_path / "new") == {"run/run.json"}


def test_what_killed_processes_left_is_removed(tmp_path: Path) -> None:
    left = (f".run.{LEFT}.json", "hpc_ckpt_1.ckpt", f"checkpoints/.round.{LEFT}.ckpt", f"checkpoints/clients/.a.{LEFT}")
    others = (
        "rounds.csv",
        f"run.{LEFT}.json",
        f"elsewhere/.run.{LEFT}.json",
        "hpc_ckpt.txt",
        f"samples/.x.{LEFT}.d/file",
    )
    touch(tmp_path, *left, *others)
    clear_leftovers(tmp_path)
    assert inside(tmp_path) == set(others)
