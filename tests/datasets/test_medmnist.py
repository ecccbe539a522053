"""MedMNIST files: read right, and refused in one line where they are not what they should be."""

from collections.abc import Callable
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import numpy as np
import pytest
import torch
from PIL import Image

from fedgan.core.checks import as_typed
from fedgan.datasets.medmnist import MedMNIST

Arrays = dict[str, Any]


def arrays(size: int = 28, channels: int = 0, counts: tuple[int, int, int] = (6, 2, 4)) -> Arrays:
    rng = np.random.default_rng(0)
    made: Arrays = {}
    for split, count in zip(("train", "val", "test"), counts, strict=True):
        shape = (count, size, size) + ((channels,) if channels else ())
        made[f"{split}_images"] = rng.integers(0, 256, shape, dtype=np.uint8)
        made[f"{split}_labels"] = (np.arange(count, dtype=np.uint8) % 2)[:, None]
    return made


@pytest.fixture
def save(tmp_path: Path) -> Callable[[Arrays], str]:
    def write(contents: Arrays) -> str:
        np.savez(tmp_path / "some.npz", **contents)
        return str(tmp_path / "some.npz")

    return write


def test_gray_images_pass_unchanged_at_their_own_size_and_val_joins_train(save: Callable[[Arrays], str]) -> None:
    made = arrays()
    splits = MedMNIST(file=save(made), image_size=28, classes=["no", "yes"]).load()
    both = np.concatenate([made["train_images"], made["val_images"]])[:, None]
    assert torch.equal(splits.train.images, torch.from_numpy(both))
    assert splits.train.labels.tolist() == [0, 1, 0, 1, 0, 1, 0, 1]
    assert splits.train.counts == {"no": 4, "yes": 4}
    assert splits.test.counts == {"no": 2, "yes": 2}


@pytest.mark.parametrize("size", [16, 28, 32, 64])
def test_rgb_images_are_resized_as_pillow_would(save: Callable[[Arrays], str], size: int) -> None:
    made = arrays(channels=3)
    splits = MedMNIST(file=save(made), image_size=size).load()
    assert splits.classes == ("0", "1")
    assert splits.test.images.shape == (4, 3, size, size)
    first = Image.fromarray(made["test_images"][0]).resize((size, size), Image.Resampling.BICUBIC)
    apart = splits.test.images[0].permute(1, 2, 0).int() - torch.from_numpy(np.array(first)).int()
    assert apart.abs().max() <= 1


def test_flat_labels_and_non_square_images(save: Callable[[Arrays], str]) -> None:
    made = arrays()
    for split in ("train", "val", "test"):
        made[f"{split}_labels"] = made[f"{split}_labels"].reshape(-1).astype(np.int64)
        made[f"{split}_images"] = made[f"{split}_images"][:, :20]
    splits = MedMNIST(file=save(made), image_size=32).load()
    assert splits.train.images.shape == (8, 1, 32, 32)
    assert splits.train.labels.dtype == torch.int64


def refused(file: str, said: str, **arguments: Any) -> None:
    with pytest.raises(ValueError) as caught:
        MedMNIST(file=file, image_size=32, **arguments).load()
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("train_images", np.zeros((6, 28, 28), np.float32), "train_images must be uint8"),
        ("val_images", np.zeros((2, 28, 28, 4), np.uint8), "got uint8 (2, 28, 28, 4)"),
        ("test_images", np.zeros((4, 32, 32), np.uint8), "must have one size and color"),
        ("test_images", np.zeros((0, 28, 28), np.uint8), "got uint8 (0, 28, 28)"),
        ("train_labels", np.zeros((6, 14), np.uint8), "multi-label"),
        ("train_labels", np.zeros((5, 1), np.uint8), "must be integers, (6,) or (6, 1); got uint8 (5, 1)"),
        ("train_labels", np.zeros(6, np.float32), "train_labels must be integers"),
        ("test_labels", np.full(4, 9), "without gaps; got [0, 1, 9]"),
        ("test_labels", np.full(4, -1), "without gaps; got [-1, 0, 1]"),
        ("test_labels", np.array([{}] * 4), "test_labels holds pickled objects, which are refused"),
    ],
)
def test_refuses_other_arrays(save: Callable[[Arrays], str], key: str, value: Any, said: str) -> None:
    file = save({**arrays(), key: value})
    refused(file, said)
    with pytest.raises(ValueError, match=r"dataset.file '.*some.npz'"):
        MedMNIST(file=file, image_size=32).load()


def test_refuses_files_that_are_no_npz(tmp_path: Path, save: Callable[[Arrays], str]) -> None:
    refused(str(tmp_path / "none.npz"), "there is no such file")
    text, single = tmp_path / "text.npz", tmp_path / "single.npy"
    for content in (b"", b"not an archive", b"PK\x03\x04 broken"):
        text.write_bytes(content)
        refused(str(text), "not an .npz file")
    np.save(single, np.zeros(3))
    refused(str(single), "not an .npz file but a single array")


def test_refuses_damaged_and_incomplete_files(save: Callable[[Arrays], str]) -> None:
    made = arrays()
    del made["val_labels"]
    refused(save(made), "lacks ['val_labels']")
    file = save(arrays())
    content = bytearray(Path(file).read_bytes())
    content[1000] ^= 255  # within train_images
    Path(file).write_bytes(content)
    refused(file, "train_images cannot be read")


def test_refuses_a_member_that_is_no_array(save: Callable[[Arrays], str]) -> None:
    """numpy would hand out its bytes."""
    file = save({key: value for key, value in arrays().items() if key != "test_labels"})
    with ZipFile(file, "a") as archive:
        archive.writestr("test_labels.npy", b"0, 1, 0, 1")
    refused(file, "test_labels is no array")


def test_a_file_may_have_a_number_for_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.savez(tmp_path / "2026.npz", **arrays())
    (tmp_path / "2026.npz").rename(tmp_path / "2026")
    monkeypatch.chdir(tmp_path)
    assert len(MedMNIST(file=2026, image_size=28).load().test) == 4  # type: ignore[arg-type]  # as YAML reads it


def test_refuses_wrong_class_names(save: Callable[[Arrays], str]) -> None:
    file = save(arrays())
    refused(file, "dataset.classes must name each label from 0 to 1", classes=["one"])
    refused(file, "classes must be a list of different names", classes=["a", "a"])


@pytest.mark.parametrize("file", [None, "", " "])
def test_f17_a_file_that_is_not_set_is_refused(file: str | None) -> None:
    with pytest.raises(ValueError) as caught:
        MedMNIST(file=file, image_size=32)
    assert str(caught.value) == f"file must be set to a MedMNIST .npz file; got {as_typed(file)}"


@pytest.mark.parametrize("name", ["bacterial/viral", "..", "", "x" * 256])
def test_f22_class_names_that_no_folder_can_have_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="classes must be names that a folder can have; got "):
        MedMNIST(file="any.npz", image_size=32, classes=["normal", name])


@pytest.mark.parametrize("classes", [[False, True], [0, 1, 2]])
def test_f30_names_that_yaml_reads_as_something_else_need_quotes(classes: Any) -> None:
    with pytest.raises(ValueError, match="classes must be names in quotes, such as"):
        MedMNIST(file="any.npz", image_size=32, classes=classes)


def test_a_mapping_of_classes_is_for_folders_alone() -> None:
    with pytest.raises(ValueError, match="classes must be a list of different names, or null"):
        MedMNIST(file="any.npz", image_size=32, classes={"a": ["b"]})  # type: ignore[arg-type]


@pytest.mark.parametrize("channels", [0, 3])
def test_a10_training_images_that_are_copies_of_test_images_are_left_out(
    save: Callable[[Arrays], str], channels: int
) -> None:
    made = arrays(channels=channels, counts=(8, 2, 4))
    made["train_images"][3] = made["test_images"][1]
    made["val_images"][0] = made["test_images"][2]
    made["train_images"][5] = made["train_images"][7]
    splits = MedMNIST(file=save(made), image_size=28).load()
    kept = np.concatenate([np.delete(made["train_images"], 3, 0), made["val_images"][1:]])
    planes = kept[:, None] if channels == 0 else kept.transpose(0, 3, 1, 2)
    assert torch.equal(splits.train.images, torch.from_numpy(planes.copy()))
    assert splits.train.labels.tolist() == [0, 1, 0, 0, 1, 0, 1, 1]
    assert len(splits.test) == 4
    assert splits.left_out == {"training images that are copies of test images": 2}
    assert splits.notes == ("1 training and 0 test images are copies of others on their side, and stay",)


def test_a10_files_without_copies_have_nothing_to_say(save: Callable[[Arrays], str]) -> None:
    splits = MedMNIST(file=save(arrays()), image_size=28).load()
    assert not splits.left_out
    assert splits.notes == ()


def test_a10_a_class_with_nothing_left_is_refused(save: Callable[[Arrays], str]) -> None:
    made = arrays(counts=(6, 2, 8))
    made["train_images"][::2], made["val_images"][0] = made["test_images"][:3], made["test_images"][3]
    refused(save(made), "all training images of ['0'] are copies of test images")
