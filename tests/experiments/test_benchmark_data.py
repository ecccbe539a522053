"""The benchmark of data: what it measures is there, and nothing is left behind."""

from pathlib import Path

import pytest
from PIL import Image

from experiments.benchmarks.data import Data, draw_jpegs


def test_a_row_for_every_part_and_no_image_left(tmp_path: Path) -> None:
    rows = Data(images=20, image_size=8, batch_size=4, repeats=1).measure(tmp_path)
    counts = {row["part"].partition(", ")[0]: row["images"] for row in rows}
    decoded = {"decoded by 1 worker": 20, "decoded by all": 20, "decoded and kept": 20, "read again": 20}
    assert counts == {**decoded, "fingerprint": 16, "an epoch of batches": 16}
    assert all(row["images_per_second"] == pytest.approx(row["images"] / row["seconds"]) for row in rows)
    assert not list(tmp_path.iterdir())


def test_half_the_images_are_grey_and_every_class_has_both(tmp_path: Path) -> None:
    files = draw_jpegs(tmp_path, 40)
    modes = {file: Image.open(file).mode for file in files}
    assert sorted(modes.values()) == ["L"] * 20 + ["RGB"] * 20
    for folder in ("train/a", "train/b", "test/a", "test/b"):
        assert {modes[file] for file in (tmp_path / folder).iterdir()} == {"L", "RGB"}
    assert len({file.read_bytes() for file in files}) == 40


def test_the_files_are_as_large_as_set(tmp_path: Path) -> None:
    assert {Image.open(file).size for file in draw_jpegs(tmp_path / "own", 8)} == {(600, 500), (600, 450)}
    assert {Image.open(file).size for file in draw_jpegs(tmp_path / "small", 8, 24)} == {(24, 24)}
    with pytest.raises(ValueError, match=r"^file_size must be .*700, or null; got 701$"):
        Data(file_size=701)


def test_refuses_a_batch_larger_than_the_training_images() -> None:
    with pytest.raises(ValueError, match=r"^batch_size must be .*; got 5$"):
        Data(images=8, batch_size=5)
