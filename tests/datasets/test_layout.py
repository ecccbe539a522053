"""Folders: which are splits, which are classes, what is deeper than it seems, and what is left out."""

import os
import shutil
from pathlib import Path
from typing import Any
from unicodedata import normalize

import pytest

from fedgan.core.images import Splits
from tests.helpers.datasets import both, counts, draw, read, refusal, tree

EVEN = {"a": (4, 4), "b": (4, 4)}


def said(splits: Splits, words: str) -> bool:
    return any(words in note for note in splits.notes)


# Splits (F2, F4)


@pytest.mark.parametrize(
    ("train", "test"), [("train", "test"), ("Train", "Test"), ("Training", "Testing"), ("TRAIN", "testing")]
)
def test_f2_splits_are_read_in_any_spelling(tmp_path: Path, train: str, test: str) -> None:
    root = tree(tmp_path / "data", both(f"{train} {test}"))
    splits = read(root)
    assert counts(splits) == EVEN
    assert not splits.left_out
    plain = root.rename(tmp_path / "other")
    (plain / train).rename(plain / "x")
    (plain / test).rename(plain / "test")
    (plain / "x").rename(plain / "train")
    assert read(plain).train.fingerprint == splits.train.fingerprint
    assert read(plain).test.fingerprint == splits.test.fingerprint


@pytest.mark.parametrize("val", ["val", "valid", "Validation", "VAL"])
def test_f4_validation_images_join_the_training_images(tmp_path: Path, val: str) -> None:
    root = tree(tmp_path / "data", both(f"train test {val}"))
    assert counts(read(root)) == {"a": (8, 4), "b": (8, 4)}


def test_f2_two_folders_that_spell_one_split_are_refused(tmp_path: Path) -> None:
    root = tree(tmp_path / "data", both("train Training test"))
    assert refusal(root) == (
        f"dataset.root must hold one folder for each split; {str(root)!r} has ['Training', 'train']"
    )


@pytest.mark.parametrize(
    ("folders", "there"),
    [
        ("Training/a Training/b", "['Training']"),
        ("train/a val/a", "['train', 'val']"),
        ("a b Test", "['Test']"),
        ("a b valid", "['valid']"),
    ],
)
def test_f2_half_a_split_is_no_class(tmp_path: Path, folders: str, there: str) -> None:
    root = tree(tmp_path / "data", dict.fromkeys(folders.split(), 3))
    words = f"must have both train/ and test/, or no folder of a split; {str(root)!r} has {there}"
    assert words in refusal(root)
    assert words in refusal(root, classes=["a"])


def test_f2_a_split_within_a_split_is_refused(tmp_path: Path) -> None:
    root = tree(tmp_path / "data", both("train test", "a b test"))
    assert f"{str(root / 'train' / 'test')!r} is named like a split and lies where classes do" in refusal(root)


def test_f2_other_folders_next_to_splits_are_counted(tmp_path: Path) -> None:
    root = tree(tmp_path / "data", {**both("train test"), "extra/a": 3, "train": 1, ".": 1})
    splits = read(root)
    assert counts(splits) == EVEN
    assert splits.left_out == {"outside of the class folders": 5}


# A set that is deeper (F2)


@pytest.mark.parametrize("deep", ["chest_xray", "download/chest_xray"])
@pytest.mark.parametrize("classes", [None, ["NORMAL", "PNEUMONIA"]])
def test_f2_a_set_deeper_than_the_root_is_refused_with_its_place(tmp_path: Path, deep: str, classes: Any) -> None:
    root = tree(tmp_path / "data", {})
    (root / "__MACOSX").mkdir(parents=True)
    tree(root / deep, both("train test val", "NORMAL PNEUMONIA"))
    if classes and "/" in deep:
        assert "dataset.classes must be among ['download']" in refusal(root, classes=classes)
    else:
        assert refusal(root, classes=classes) == (
            f"dataset.root: {str(root / deep)!r} holds ['test', 'train', 'val'], which are no part of a class; "
            f"if it is the data set, set dataset.root={root / deep}"
        )
    assert counts(read(root / deep)) == {"NORMAL": (8, 4), "PNEUMONIA": (8, 4)}


def test_f2_a_zip_file_with_its_set_twice_is_read_at_its_upper_level(tmp_path: Path) -> None:
    root = tree(tmp_path / "data", both("x/train x/test x/x/train x/x/test"))
    assert refusal(root).endswith(f"set dataset.root={root / 'x'}")
    assert read(root / "x").left_out == {"outside of the class folders": 16}


def test_f2_splits_below_each_class_are_refused_with_another_remedy(tmp_path: Path) -> None:
    root = tree(tmp_path / "data", both("a b", "train test"))
    assert refusal(root).endswith(
        f"set dataset.root={root / 'a'}; if 'b' is another class, move ['test', 'train'] above the classes"
    )


@pytest.mark.parametrize("above", ["", "train/ test/"])
def test_f2_a_sole_class_of_only_folders_is_refused_unless_it_is_named(tmp_path: Path, above: str) -> None:
    root = tree(tmp_path / "data", both(" ".join(f"{split}images" for split in above.split() or [""])))
    folder = root / above.split()[0] / "images" if above else root / "images"
    remedy = "move them up, out of images/" if above else f"set dataset.root={folder}"
    assert refusal(root) == (
        f"dataset.root: the only class folder, {str(folder)!r}, holds nothing but folders, ['a', 'b']; "
        f"if these are the classes, {remedy}; if it is a class, set dataset.classes=[images]"
    )
    splits = read(root, classes=["images"])
    assert len(splits.train) + len(splits.test) == (16 if above else 8)


def test_f2_named_classes_one_level_deeper_are_refused_with_their_place(tmp_path: Path) -> None:
    root = tree(tmp_path / "data", both("images"))
    assert refusal(root, classes=["a", "b"]).endswith(f"if it is the data set, set dataset.root={root / 'images'}")


def test_f2_a_sole_class_with_images_of_its_own_is_read(tmp_path: Path) -> None:
    root = tree(tmp_path / "data", {"only": 5, "only/more": 5})
    assert counts(read(root)) == {"only": (8, 2)}


@pytest.mark.parametrize("own", [0, 1])
def test_f2_classes_that_all_hold_the_same_folders_are_noted(tmp_path: Path, own: int) -> None:
    root = tree(tmp_path / "data", {**both("berlin lyon", "benign malignant"), "lyon": own})
    noted = "all class folders hold the same folders, ['benign', 'malignant']: perhaps these are the classes"
    assert said(read(root), noted) == (own == 0)


@pytest.mark.parametrize(("names", "noted"), [("Part_1 Part_2", True), ("fold0 fold1", True), ("grade1 grade2", False)])
def test_f2_folders_named_like_parts_are_noted(tmp_path: Path, names: str, noted: bool) -> None:
    root = tree(tmp_path / "data", dict.fromkeys(names.split(), 3))
    assert said(read(root), "named like parts of one set") == noted


def test_f2_one_split_as_the_root_is_read_and_noted(tmp_path: Path) -> None:
    root = tree(tmp_path / "data", both("Train test val"))
    splits = read(root / "Train")
    assert counts(splits) == {"a": (3, 1), "b": (3, 1)}
    assert said(splits, f"dataset.root is Train/, one split of {root}")
    assert said(splits, f"dataset.root={root} reads test/ and val/ too")
    shutil.rmtree(root / "test")
    shutil.rmtree(root / "val")
    assert not said(read(root / "Train"), "one split of")


def test_a10_a_drawn_test_set_is_noted_and_a_given_one_is_not(tmp_path: Path) -> None:
    root = tree(tmp_path / "data", both("train test"))
    assert said(read(root / "train"), "a share of 0.2 (dataset.test_share) was drawn for it, image by image")
    assert not read(root).notes


# What is left out (F4, F28)


def test_f4_every_file_that_is_not_read_is_counted_by_its_reason(tmp_path: Path) -> None:
    root, folder = tree(tmp_path / "data", {"a": 6, "b": 6}), tmp_path / "data" / "a"
    tree(tmp_path / "elsewhere", {".": 3})
    for index in range(3):
        (folder / f"{index}.dcm").write_bytes(b"\0" * 128 + b"DICM")
        (folder / f"link{index}.png").symlink_to(tmp_path / "elsewhere" / f"{index:03d}.png")
    (folder / "1.2.840.113").write_bytes(b"DICM")
    (folder / "none").write_bytes(b"")
    (folder / "gone.png").symlink_to(tmp_path / "nowhere")
    (folder / "loop").symlink_to(folder)
    (folder / "away").symlink_to(tmp_path / "elsewhere")
    os.mkfifo(folder / "pipe.png")
    draw(folder / ".x.png")
    draw(folder / ".ipynb_checkpoints" / "x.png")
    draw(root / "loose.png")
    splits = read(root)
    assert counts(splits) == {"a": (5, 1), "b": (5, 1)}
    assert splits.left_out == {
        "with suffix .dcm": 3,
        "without a suffix": 2,
        "links that lead outside dataset.root": 4,
        "broken links": 1,
        "links to folders": 1,
        "neither a file nor a folder": 1,
        "hidden": 2,
        "outside of the class folders": 1,
    }
    assert "left out: " in str(splits)


@pytest.mark.parametrize("suffix", ["jfif", "jpe", "JPEG"])
def test_f4_jpeg_files_under_their_other_suffixes_are_read(tmp_path: Path, suffix: str) -> None:
    for index in range(6):
        draw(tmp_path / "data" / "a" / f"{index}.{suffix}", kind="JPEG")
    assert counts(read(tmp_path / "data")) == {"a": (5, 1)}


def test_f4_folders_that_are_not_among_the_classes_are_counted(tmp_path: Path) -> None:
    root = tree(tmp_path / "data", both("train test", "a b c", 3))
    assert read(root, classes=["b", "a"]).left_out == {"of other classes": 6}


def test_f4_a_class_without_images_names_what_it_has(tmp_path: Path) -> None:
    root = tree(tmp_path / "data", {"a": 3})
    (root / "b").mkdir()
    (root / "b" / "x.dcm").write_bytes(b"DICM")
    assert refusal(root).endswith("it has 1 with suffix .dcm")


def test_f4_folders_out_of_the_root_are_counted_and_not_looked_into(tmp_path: Path) -> None:
    root = tree(tmp_path / "data", both("train test"))
    tree(tmp_path / "elsewhere", {"a": 3})
    (root / "backup").symlink_to(tmp_path / "elsewhere")
    (root / "train" / ".old").symlink_to(tmp_path / "elsewhere")
    assert read(root).left_out == {"links that lead outside dataset.root": 2}


@pytest.mark.parametrize("system", ["__MACOSX", "@eaDir"])
@pytest.mark.parametrize("place", [".", "a"])
def test_f28_folders_of_the_system_are_no_classes(tmp_path: Path, system: str, place: str) -> None:
    root = tree(tmp_path / "data", {"a": 6, "b": 6})
    tree(root / place / system, {"a": 2})
    splits = read(root)
    assert counts(splits) == {"a": (5, 1), "b": (5, 1)}
    assert splits.left_out == {f"in {system}/": 2}


def test_f28_files_that_systems_leave_everywhere_are_not_even_counted(tmp_path: Path) -> None:
    root = tree(tmp_path / "data", both("train test"))
    for folder in (root, root / "train", root / "train" / "a"):
        for name in (".DS_Store", "Thumbs.db", "desktop.ini", "._000.png"):
            (folder / name).write_bytes(b"\0\5\x16\7")
    splits = read(root)
    assert counts(splits) == EVEN
    assert not splits.left_out


# Names (F17, F21, F22, F30, F31)


@pytest.mark.parametrize("setting", ["root", "cache_dir", "labels"])
@pytest.mark.parametrize("empty", ["", "  "])
def test_f17_empty_paths_are_refused(tmp_path: Path, setting: str, empty: str, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tree(tmp_path / "data", both("train test"))
    monkeypatch.chdir(root)
    allowed = "the folder that holds the images" if setting == "root" else "a path, or null"
    assert refusal(root, **{setting: empty}) == f"{setting} must be {allowed}; got {empty!r}"
    assert sorted(os.listdir(root)) == ["test", "train"]


def test_f21_a_class_folder_whose_name_is_not_utf8_is_refused_before_decoding(tmp_path: Path) -> None:
    root = tree(tmp_path / "data", {"a": 3})
    name = os.fsencode(root) + b"/caf\xe9"
    os.rename(os.fsencode(root / "a"), name)
    assert refusal(root) == "dataset.root: the name of the folder b'caf\\xe9' is not UTF-8"
    tree(root, {"a": 3, "b": 3})
    assert counts(read(root, classes=["a", "b"])) == {"a": (2, 1), "b": (2, 1)}


@pytest.mark.parametrize("name", ["bacterial/viral", "..", ".", "", "a\0b", "x" * 256, "肺" * 86])
def test_f22_class_names_that_no_folder_can_have_are_refused(tmp_path: Path, name: str) -> None:
    root = tree(tmp_path / "data", {"a": 3})
    words = f"classes must be names that a folder can have; got {name!r}"
    assert refusal(root, classes=["a", name]) == words
    assert refusal(root, classes={name: ["a"]}) == words


@pytest.mark.parametrize("classes", [[False, True], [0, 1, 2], {0: ["a"]}, {"x": [0]}, ["a", None]])
def test_f30_names_that_yaml_reads_as_something_else_need_quotes(tmp_path: Path, classes: Any) -> None:
    root = tree(tmp_path / "data", {"a": 3})
    assert 'must be names in quotes, such as ["0", "1"] or ["no", "yes"]; got ' in refusal(root, classes=classes)


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_f31_names_are_the_same_in_either_form(tmp_path: Path, form: Any) -> None:
    composed, apart = normalize("NFC", "Müller"), normalize("NFD", "Müller")
    root = tree(tmp_path / "data", {f"train/{composed}": 4, f"test/{apart}": 2, "train/b": 4, "test/b": 2})
    for classes in (None, ["b", normalize(form, "Müller")]):
        assert counts(read(root, classes=classes)) == {composed: (4, 2), "b": (4, 2)}


def test_f31_two_folders_that_differ_in_form_alone_are_refused(tmp_path: Path) -> None:
    root = tree(tmp_path / "data", {normalize("NFC", "é"): 3, normalize("NFD", "é"): 3})
    assert r"one name in two spellings, 'e\u0301' and '\xe9'" in refusal(root)


@pytest.mark.parametrize(
    ("classes", "words"),
    [
        ([], "a list of different names, a mapping"),
        ("a", "a list of different names"),
        (["a", "a"], "a list of different names"),
        ({"x": ["a"], "y": ["a", "b"]}, "classes must list each name once; 'a' is in both 'x' and 'y'"),
        ({"x": []}, "a mapping of each class to such a list, or null"),
        ({"x": 7}, "a mapping of each class to such a list, or null"),
        ({"x": ["c"]}, "must be among ['a', 'b']"),
    ],
)
def test_classes_that_are_neither_names_nor_a_mapping_are_refused(tmp_path: Path, classes: Any, words: str) -> None:
    root = tree(tmp_path / "data", {"a": 3, "b": 3})
    assert words in refusal(root, classes=classes)


def test_a_mapping_merges_folders_and_leaves_others_out(tmp_path: Path) -> None:
    root = tree(tmp_path / "data", {**both("train test", "nv mel bkl bcc df", 2), "val/nv": 1})
    splits = read(root, classes={"benign": ["nv", "bkl"], "malignant": "mel"})
    assert counts(splits) == {"benign": (5, 4), "malignant": (2, 2)}
    assert splits.left_out == {"of other classes": 8}
