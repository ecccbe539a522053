"""Labels from a CSV file: columns, rows and files found, wrong tables refused, and CSV files that nobody named."""

import csv
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any
from unicodedata import normalize

import pytest
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from fedgan.runs.allowlist import build_trusted
from tests.helpers.datasets import both, counts, draw, read, refusal, tree
from tests.helpers.images import real_images


def table(file: Path, rows: Iterable[Sequence[object]], **how: Any) -> Path:
    """A CSV file whose first row is the columns."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w", newline="", encoding=how.pop("encoding", "utf-8")) as text:
        csv.writer(text, **how).writerows(rows)
    return file


def ham(root: Path, images: int = 12) -> Path:
    """HAM10000 as it is published: two parts of an archive and the metadata; three images of each lesion."""
    rows: list[Sequence[object]] = [("lesion_id", "image_id", "dx", "dx_type", "age", "sex")]
    for index in range(images):
        name, dx = f"ISIC_{index:07d}", ("nv", "mel", "bkl")[index // 3 % 3]
        draw(root / f"HAM10000_images_part_{1 + index % 2}" / f"{name}.jpg", kind="JPEG")
        rows.append((f"HAM_{index // 3:07d}", name, dx, "histo", 40.0, "male"))
    table(root / "HAM10000_metadata.csv", rows)
    return root


def flat(root: Path, count: int = 6) -> Path:
    return tree(root, {"images": count})


# CSV files next to folders that are no classes (F2)


def test_f2_parts_of_an_archive_next_to_a_csv_file_are_no_classes(tmp_path: Path) -> None:
    parts = ["HAM10000_images_part_1", "HAM10000_images_part_2"]
    root = ham(tmp_path / "data")
    assert refusal(root) == (
        f"dataset.root: HAM10000_metadata.csv lists these images, but not with the names of their folders {parts}; "
        f"set dataset.labels=HAM10000_metadata.csv, or dataset.classes={parts} if these are the classes"
    )
    assert counts(read(root, classes=parts)) == {parts[0]: (5, 1), parts[1]: (5, 1)}


@pytest.mark.parametrize("header", [("image", "MEL", "NV"), ("image_name", "patient_id", "age")])
def test_f2_a_sole_folder_next_to_a_csv_file_is_no_class(tmp_path: Path, header: Sequence[str]) -> None:
    root = flat(tmp_path / "data")
    table(root / "truth.csv", [header, *((f"{index:03d}", 1, 0) for index in range(6))])
    assert "set dataset.labels=truth.csv" in refusal(root)


@pytest.mark.parametrize(
    ("header", "row"),
    [
        (("file", "class"), lambda name, label: (f"{label}/{name}.png", label)),
        (("Image Index", "Patient Sex", "Finding Labels"), lambda name, label: (f"{name}.jpg", "m", label.upper())),
        (("image", "cat", "dog"), lambda name, label: (name, float(label == "cat"), float(label == "dog"))),
    ],
)
@pytest.mark.parametrize("above", ["", "train/ test/"])
def test_f2_folders_that_agree_with_a_csv_file_are_read_and_it_is_noted(
    tmp_path: Path, header: Sequence[str], row: Any, above: str
) -> None:
    places = [f"{split}{name}" for split in above.split() or [""] for name in ("cat", "dog")]
    root, rows = tmp_path / "data", [header]
    for number, place in enumerate(places):
        for index in range(5):
            draw(root / place / f"{number}{index}.png")
            rows.append(row(f"{number}{index}", place.rpartition("/")[2]))
    table(root / "a.csv", rows)
    splits = read(root)
    assert list(counts(splits)) == ["cat", "dog"]
    assert f"a.csv lists these images ({', '.join(header)}); dataset.labels=a.csv reads classes from it" in splits.notes


@pytest.mark.parametrize("content", ["image,dx\n000,nv\n", "pixel0,pixel1,label\n1,2,3\n", "image,dx\nx", "\xff", ""])
def test_f2_other_csv_files_are_passed_over(tmp_path: Path, content: str) -> None:
    root = tree(tmp_path / "data", {"a": 5, "b": 5})
    (root / "other.csv").write_bytes(content.encode("latin-1"))
    (root / "gone.csv").symlink_to(root / "nowhere.csv")
    (root / "folder.csv").mkdir()
    tree(root / "folder.csv", {".": 3})
    assert counts(read(root, classes=["a", "b"])) == {"a": (4, 1), "b": (4, 1)}
    assert not any("lists these images" in note for note in read(root, classes=["a", "b"]).notes)


def test_f2_csv_files_out_of_the_root_or_very_large_are_read_only_when_named(tmp_path: Path) -> None:
    root = tree(tmp_path / "data", {"a": 5, "b": 5})
    rows = [("file", "class"), *((f"{name}/00{index}.png", name) for name in "ab" for index in range(5))]
    (root / "link.csv").symlink_to(table(tmp_path / "l.csv", rows))
    with table(root / "large.csv", rows).open("a") as text:
        text.write("\n" * 2**24)
    assert not any("lists these images" in note for note in read(root).notes)
    for name in ("link.csv", "large.csv"):
        assert counts(read(root, labels=name)) == {"a": (4, 1), "b": (4, 1)}


# Published sets


def test_ham10000_as_it_is_published(tmp_path: Path) -> None:
    splits = read(ham(tmp_path / "data", 45), labels="HAM10000_metadata.csv", test_share=0.4)
    assert counts(splits) == {"bkl": (9, 6), "mel": (9, 6), "nv": (9, 6)}
    assert not splits.left_out
    assert splits.notes[0] == "HAM10000_metadata.csv: file from image_id, class from dx, group from lesion_id"
    assert "in whole groups" in splits.notes[1]


def test_classes_of_a_csv_file_are_merged_by_a_mapping(tmp_path: Path) -> None:
    root, merged = ham(tmp_path / "data", 45), {"malignant": ["mel"], "benign": ["nv"]}
    splits = read(root, labels="HAM10000_metadata.csv", classes=merged, test_share=0.4)
    assert counts(splits) == {"malignant": (9, 6), "benign": (9, 6)}
    assert splits.left_out == {"of other classes": 15}
    assert refusal(root, labels="HAM10000_metadata.csv", classes=["nv", "df"]) == (
        "dataset.classes must be among ['bkl', 'mel', 'nv'], the classes in HAM10000_metadata.csv; got ['df']"
    )


def test_isic_ground_truth_with_a_column_for_each_class(tmp_path: Path) -> None:
    root, names = flat(tmp_path / "data", 8), ["MEL", "NV", "BCC"]
    hot = [[float(index % 2 == place) for place in range(3)] for index in range(8)]
    table(root / "truth.csv", [("image", *names), *((f"{index:03d}", *row) for index, row in enumerate(hot))])
    splits = read(root, labels="truth.csv", columns={"class": names})
    assert counts(splits) == {"MEL": (3, 1), "NV": (3, 1)}
    assert splits.notes[0] == "truth.csv: file from image, class from MEL NV BCC"
    assert refusal(root, labels="truth.csv") == (
        "dataset.columns.class must be set to one of the columns of truth.csv, ['BCC', 'MEL', 'NV', 'image'], none of "
        "which has a usual name for it; got null"
    )


def test_real_lesions_are_the_same_by_folder_and_by_csv_file(tmp_path: Path) -> None:
    root, cache = real_images("FEDGAN_SKIN"), str(tmp_path)
    folders = read(root, channels=3, cache_dir=cache)
    rows = read(root, channels=3, cache_dir=cache, labels="labels.csv")
    assert counts(rows) == {"benign": (1600, 300), "malignant": (838, 300)}
    assert rows.train.fingerprint == folders.train.fingerprint
    assert rows.test.fingerprint == folders.test.fingerprint
    malignant = ["mel", "bcc", "akiec"]
    merged = {"benign": ["nv", "bkl", "df", "vasc"], "malignant": malignant}
    again = read(root, channels=3, cache_dir=cache, labels="labels.csv", columns={"class": "dx"}, classes=merged)
    assert again.train.fingerprint == folders.train.fingerprint


def test_settings_as_they_are_typed(tmp_path: Path, configure: Callable[..., DictConfig]) -> None:
    root = tmp_path / "data"
    rows = [("image", "MEL", "NV", "BKL"), *((f"p{i // 2}_{i}", i % 3 == 0, i % 3 == 1, i % 3 == 2) for i in range(24))]
    for name, *_ in rows[1:]:
        draw(root / f"{name}.png")
    table(root / "truth.csv", [[int(cell) if isinstance(cell, bool) else cell for cell in row] for row in rows])
    typed = (
        "dataset=image_folder",
        f"dataset.root={root}",
        f"dataset.cache_dir={tmp_path}",
        "dataset.labels=truth.csv",
        "dataset.columns.class=[MEL,NV,BKL]",
        "dataset.columns.split=false",
        "dataset.classes={benign: [NV, BKL], malignant: [MEL]}",
        r'dataset.group_pattern="^(p\d+)_"',
        "dataset.image_size=8",
    )
    cfg = configure(*typed, tiny=False).dataset
    splits = instantiate(cfg).load()
    assert splits.classes == ("benign", "malignant")
    assert len(splits.train) + len(splits.test) == 24
    assert "dataset.group_pattern: 12 groups; it matches all but 0 files" in splits.notes
    plain = OmegaConf.to_container(cfg)  # as fedgan.evaluate reads it from a run's folder
    assert isinstance(plain, dict)
    again = build_trusted("run", plain.pop("_target_"), plain, "fedgan.datasets").load()
    assert again.train.fingerprint == splits.train.fingerprint


# Files


@pytest.mark.parametrize(
    "said",
    ["deep/x.b.png", "data/deep/x.b.png", "x.b.png", "x.b", "x.b.jpg", "C:\\scans\\deep\\x.b.png", "/old/x.b.dcm"],
)
def test_files_are_found_by_path_name_or_stem(tmp_path: Path, said: str) -> None:
    root = flat(tmp_path / "data", 2)
    draw(root / "deep" / "x.b.png")
    table(root / "l.csv", [("path", "label"), ("000", "a"), ("001.png", "a"), (said, "a")])
    splits = read(root, labels="l.csv")
    assert counts(splits) == {"a": (2, 1)}
    assert not splits.left_out


@pytest.mark.parametrize("above", ["", "data/"])
def test_a_path_is_preferred_to_a_name(tmp_path: Path, above: str) -> None:
    root = tree(tmp_path / "data", {"x": 2, "y": 2})
    table(root / "l.csv", [("path", "label"), *((f"{above}{k}/00{i}.png", k) for k in "xy" for i in range(2))])
    assert counts(read(root, labels="l.csv")) == {"x": (1, 1), "y": (1, 1)}


def test_names_agree_in_either_unicode_form(tmp_path: Path) -> None:
    for index in range(2):
        draw(tmp_path / "data" / normalize("NFD", f"é{index}.png"))
    table(tmp_path / "data" / "l.csv", [("file", "class"), *((normalize("NFC", f"é{i}"), "ü") for i in range(2))])
    assert counts(read(tmp_path / "data", labels="l.csv", classes=[normalize("NFD", "ü")])) == {"ü": (1, 1)}


def test_rows_and_files_that_find_no_partner_are_counted(tmp_path: Path) -> None:
    root = flat(tmp_path / "data", 9)
    (root / "notes.txt").write_text("")
    rows = [("file", "class"), *((f"{index:03d}", "a") for index in range(5))]
    table(root / "l.csv", [*rows, ("005", ""), ("000", "a"), ("777", "a"), ("778", "a"), ("006", "other")])
    splits = read(root, labels="l.csv", classes=["a"])
    assert counts(splits) == {"a": (4, 1)}
    assert splits.left_out == {
        "with suffix .txt": 1,
        "without a row in l.csv": 2,
        "rows without a class": 1,
        "rows that repeat another": 1,
        "rows without a file": 2,
        "of other classes": 1,
    }


def test_links_out_of_the_root_are_not_followed_by_rows_either(tmp_path: Path) -> None:
    root = flat(tmp_path / "data", 4)
    draw(tmp_path / "secret.png")
    (root / "x.png").symlink_to(tmp_path / "secret.png")
    rows = [("000", "a"), ("001", "a"), ("x", "a"), ("../secret.png", "a"), (str(tmp_path / "secret.png"), "a")]
    table(root / "l.csv", [("file", "class"), *rows])
    splits = read(root, labels="l.csv")
    assert len(splits.train) + len(splits.test) == 2
    assert splits.left_out["rows without a file"] == 3
    assert splits.left_out["links that lead outside dataset.root"] == 1


# Columns


def test_splits_and_groups_are_read_from_their_columns(tmp_path: Path) -> None:
    root = flat(tmp_path / "data", 8)
    splits = ["Train", "train", "VALIDATION", "testing", "Test", "train", "training", "train"]
    groups = ["p1", "p2", "p3", "p4", "p1", "p5", "", ""]
    rows = [
        (f"{index:03d}", "a", split, group) for index, (split, group) in enumerate(zip(splits, groups, strict=True))
    ]
    table(root / "l.csv", [("File Name", "Diagnosis", "Subset", "Patient ID"), *rows])
    found = read(root, labels="l.csv")
    assert counts(found) == {"a": (5, 2)}
    assert found.left_out == {"training images of groups in the test set": 1}
    assert found.notes == (
        "l.csv: file from File Name, class from Diagnosis, split from Subset, group from Patient ID",
    )
    assert counts(read(root, labels="l.csv", columns={"group": False})) == {"a": (6, 2)}
    assert counts(read(root, labels="l.csv", columns={"split": False}, test_share=0.5)) == {"a": (4, 4)}
    assert counts(read(root, labels="l.csv", columns={"class": "Subset", "split": False}, classes=["train"])) == {
        "train": (2, 1)
    }


def test_a_patient_is_preferred_to_a_lesion_and_a_group_by_path_to_both(tmp_path: Path) -> None:
    root = flat(tmp_path / "data", 4)
    rows = [(f"{index:03d}", "a", f"l{index}", f"p{max(index, 1)}") for index in range(4)]
    table(root / "l.csv", [("image", "dx", "lesion_id", "patient_id"), *rows])
    assert "group from patient_id" in read(root, labels="l.csv").notes[0]
    assert "group" not in read(root, labels="l.csv", group_pattern=r"00\d").notes[0]
    words = refusal(root, labels="l.csv", columns={"group": "lesion_id"}, group_pattern=r"00\d")
    assert words == "group_pattern must be null with columns.group; got '00\\\\d'"


def test_of_two_columns_with_a_usual_name_the_more_usual_and_then_the_first_is_taken(tmp_path: Path) -> None:
    root = flat(tmp_path / "data", 2)
    table(root / "l.csv", [("Image", "image", "dx", "label"), ("000", "x", "nv", "a"), ("001", "y", "nv", "a")])
    splits = read(root, labels="l.csv")
    assert splits.notes[0] == "l.csv: file from Image, class from label"
    assert counts(splits) == {"a": (1, 1)}


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_tables_as_spreadsheets_save_them(tmp_path: Path, delimiter: str, encoding: str) -> None:
    root = flat(tmp_path / "data", 2)
    rows = [("file", "class"), (" 000 ", "a, b"), ("", ""), ("001", "a, b")]
    table(root / "l.csv", rows, delimiter=delimiter, encoding=encoding, lineterminator="\r\n")
    assert counts(read(root, labels="l.csv")) == {"a, b": (1, 1)}


@pytest.mark.parametrize("place", ["absolute", "relative"])
def test_the_file_may_lie_anywhere(tmp_path: Path, place: str) -> None:
    root = flat(tmp_path / "data", 2)
    file = table(tmp_path / "l.csv", [("file", "class"), ("000", "a"), ("001", "a")])
    assert counts(read(root, labels=str(file) if place == "absolute" else "../l.csv")) == {"a": (1, 1)}


# Refusals


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (
            [("file", "class"), ("x", "a")],
            "l.csv has 1 row, and none names an image below the root; the first is 'x'",
        ),
        ([("file", "class")], "l.csv has 0 rows, and none names an image"),
        ([("file", "class"), ("000",)], "line 2 has 1 cells, the first row 2"),
        ([("file", "class"), ("000", "a", "b")], "line 2 has 3 cells, the first row 2"),
        ([("file", "file"), ("000", "a")], "the first row must name each column, differently"),
        ([], "the first row must name each column"),
        (
            [("file", "class"), ("000", "a"), ("000.png", "b")],
            "line 3 of l.csv, '000.png', contradicts an earlier line",
        ),
        ([("file", "class"), ("000", "a/b")], "a class in l.csv must be a name that a folder can have"),
        ([("file", "grade"), ("000", "1")], "dataset.columns.class must be set to one of the columns of l.csv"),
        ([("slide", "class"), ("000", "1")], "dataset.columns.file must be set to one of the columns of l.csv"),
        ([("file", "class", "split"), ("000", "a", "fold3")], "in line 2 of l.csv it has 'fold3'"),
        ([("file", "class", "split"), ("000", "a", "train")], "l.csv has no test images of ['a']"),
        ([("file", "class"), ("000", "x" * 200_000)], "cannot be read as CSV: field larger than field limit"),
    ],
)
def test_tables_that_do_not_fit_are_refused(tmp_path: Path, rows: list[Sequence[object]], words: str) -> None:
    root = flat(tmp_path / "data", 3)
    table(root / "l.csv", rows)
    assert words in refusal(root, labels="l.csv")


def test_one_hot_rows_with_several_classes_are_refused_and_with_none_counted(tmp_path: Path) -> None:
    root, how = flat(tmp_path / "data", 3), {"labels": "l.csv", "columns": {"class": ["A", "B"]}}
    for row, said in (((1, 1), "1, 1"), ((0.5, 0.5), "0.5, 0.5"), (("yes", "no"), "yes, no")):
        table(root / "l.csv", [("image", "A", "B"), ("000", *row)])
        assert refusal(root, **how) == (
            f"dataset.columns.class must be columns with a 1 in one of them and 0 in the others; "
            f"line 2 of l.csv has {said}"
        )
    table(root / "l.csv", [("image", "A", "B"), ("000", 1, 0), ("001", "1.0", "0.0"), ("002", 0, 0)])
    assert read(root, **how).left_out == {"rows without a class": 1}


def test_a_row_that_fits_two_files_is_refused(tmp_path: Path) -> None:
    """Of three that it fits it names two."""
    root = tree(tmp_path / "data", {"part_1": 2, "part_2": 2, "part_3": 2})
    table(root / "l.csv", [("image_id", "dx"), ("000", "nv")])
    assert refusal(root, labels="l.csv") == (
        "dataset.labels: line 2 of l.csv, '000', fits both 'part_1/000.png' and 'part_2/000.png'"
    )


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("file,class\n000,caf\xe9\n".encode("latin-1"), "it is not UTF-8 (invalid continuation byte); save it as CSV"),
        ("file,class\n000,a\n".encode("utf-16"), "it is not UTF-8 (invalid start byte); save it as CSV"),
        (None, "there is no such file"),
    ],
)
def test_files_that_are_no_tables_are_refused(tmp_path: Path, content: bytes | None, words: str) -> None:
    root = flat(tmp_path / "data", 3)
    if content is not None:
        (root / "l.csv").write_bytes(content)
    assert words in refusal(root, labels="l.csv")


def test_a_file_beyond_all_measure_is_not_read(tmp_path: Path) -> None:
    root = flat(tmp_path / "data", 3)
    with (root / "l.csv").open("wb") as file:
        file.write(b"file,class\n")
        file.truncate(2**26 + 1)  # a hole: takes no room on the disk
    assert "it has 67,108,865 bytes; at most 67,108,864 are read" in refusal(root, labels="l.csv")
    assert counts(read(tree(root, both("train test", "a b", 2)).rename(tmp_path / "x"), classes=["a"])) == {"a": (2, 2)}


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"file": "nope"}, "dataset.columns.file must be among the columns of l.csv, ['class', 'file']; got ['nope']"),
        ({"class": ["class", "B"]}, "dataset.columns.class must be among the columns of l.csv"),
        ({"file": False}, "columns.file must be a column, or null; got False"),
        ({"class": []}, "columns.class must be a column, a list of columns, or null; got []"),
        ({"split": True}, "columns.split must be a column, false (none), or null; got True"),
        ({"split": 0}, "columns.split must be a column, false (none), or null; got 0"),
        ({"class": " "}, "columns.class must be a column, a list of columns, or null; got ' '"),
        ({"group": 7}, "columns.group must be a column, false (none), or null; got 7"),
        ({"typo": "file"}, "columns must be a mapping of file, class, split, group, hospital to columns"),
        ("file", "columns must be a mapping"),
    ],
)
def test_columns_that_are_none_are_refused(tmp_path: Path, columns: Any, words: str) -> None:
    root = flat(tmp_path / "data", 3)
    table(root / "l.csv", [("file", "class"), ("000", "a"), ("001", "a")])
    assert words in refusal(root, labels="l.csv", columns=columns)


def test_columns_without_a_file_are_refused(tmp_path: Path) -> None:
    root = tree(tmp_path / "data", {"a": 3})
    assert refusal(root, columns={"class": "dx"}) == ("columns must be null without labels; got {'class': 'dx'}")
