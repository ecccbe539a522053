"""Folders of images: layouts, decoding, the cache, and bad input."""

import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import save_file

from fedgan.core.images import ImageSet, Splits
from fedgan.datasets.image_folder import ImageFolder
from fedgan.datasets.reading import decoding, pixel_cache
from fedgan.datasets.reading.decoding import decode_image
from tests.helpers.images import real_images


def decoded_pixels(file: Path, image_size: int, channels: int) -> npt.NDArray[np.uint8]:
    return decode_image(file, image_size, channels).pixels


def picture(gray: int, size: tuple[int, int] = (12, 10)) -> Image.Image:
    return Image.new("L", size, gray)


@pytest.fixture
def kaggle(tmp_path: Path) -> Path:
    """train: 3 + 5, val: 1 + 1, test: 2 + 4 images, each of its own gray."""
    gray = 0
    for split, counts in {"train": (3, 5), "val": (1, 1), "test": (2, 4)}.items():
        for name, count in zip(("NORMAL", "PNEUMONIA"), counts, strict=True):
            folder = tmp_path / "data" / split / name
            folder.mkdir(parents=True)
            for index in range(count):
                gray += 10
                picture(gray).save(folder / f"{index}.png")
    return tmp_path / "data"


def reader(root: Path, **changes: Any) -> ImageFolder:
    arguments: dict[str, Any] = {"image_size": 8, "channels": 1, "seed": 0, "cache_dir": str(root.parent / "cache")}
    return ImageFolder(root=str(root), **{**arguments, **changes})


def grays(images: ImageSet) -> list[int]:
    return [int(value) for value in images.images[:, 0, 0, 0]]


def no_decoding(*_: object) -> None:
    raise AssertionError("decoded although the cache has it")


def refused(root: Path, said: str, **changes: Any) -> None:
    with pytest.raises(ValueError) as caught:
        reader(root, **changes).load()
    assert said in str(caught.value)
    assert str(caught.value).startswith("dataset.")
    assert "\n" not in str(caught.value)


# Layouts


def test_val_joins_train(kaggle: Path) -> None:
    splits = reader(kaggle, name="chestx").load()
    assert splits.name == "chestx"
    assert splits.classes == ("NORMAL", "PNEUMONIA")
    assert splits.train.counts == {"NORMAL": 4, "PNEUMONIA": 6}
    assert grays(splits.test) == [110, 120, 130, 140, 150, 160]
    assert splits.test.labels.tolist() == [0, 0, 1, 1, 1, 1]


def test_pooled_splits_train_on_everything(kaggle: Path) -> None:
    splits = reader(kaggle, pool_splits=True).load()
    assert sorted(grays(splits.train)) == list(range(10, 170, 10))
    assert splits.test.counts == {"NORMAL": 2, "PNEUMONIA": 4}


def test_classes_give_the_order_of_labels_and_leave_others_out(kaggle: Path) -> None:
    assert reader(kaggle, classes=["PNEUMONIA", "NORMAL"]).load().train.counts == {"PNEUMONIA": 6, "NORMAL": 4}
    assert reader(kaggle, classes=["NORMAL"]).load().train.counts == {"NORMAL": 4}


def test_balanced_test_is_drawn_from_the_seed(kaggle: Path) -> None:
    def drawn(seed: int) -> list[int]:
        splits = reader(kaggle, test_per_class=2, seed=seed).load()
        assert splits.test.counts == {"NORMAL": 2, "PNEUMONIA": 2}
        assert splits.train.counts == {"NORMAL": 4, "PNEUMONIA": 6}
        return grays(splits.test)

    assert drawn(0) == drawn(0)
    assert len({tuple(drawn(seed)) for seed in range(8)}) > 1


def test_a_folder_without_splits_is_split_by_class_and_seed(kaggle: Path) -> None:
    flat = kaggle / "train"
    (flat / "PNEUMONIA" / "more").mkdir()
    for index in range(5):
        picture(200 + index).save(flat / "PNEUMONIA" / "more" / f"{index}.png")
    splits = reader(flat, test_share=0.3).load()
    assert splits.train.counts == {"NORMAL": 2, "PNEUMONIA": 7}
    assert splits.test.counts == {"NORMAL": 1, "PNEUMONIA": 3}
    assert not set(grays(splits.train)) & set(grays(splits.test))
    assert grays(reader(flat, test_share=0.3).load().test) == grays(splits.test)
    assert reader(flat, pool_splits=True).load().train.counts == {"NORMAL": 3, "PNEUMONIA": 10}


def test_ignores_hidden_files_other_suffixes_and_links_that_lead_outside(kaggle: Path) -> None:
    folder = kaggle / "train" / "NORMAL"
    picture(1).save(kaggle.parent / "outside.png")
    (folder / "out.png").symlink_to(kaggle.parent / "outside.png")
    (folder / "within.PNG").symlink_to(kaggle / "test" / "NORMAL" / "0.png")
    (folder / "gone.png").symlink_to(folder / "nowhere.png")
    picture(2).save(folder / "._0.png")
    (folder / ".hidden").mkdir()
    picture(3).save(folder / ".hidden" / "0.png")
    (folder / "notes.txt").write_text("no image")
    splits = reader(kaggle, pool_splits=True).load()
    assert grays(splits.train)[:4] == [10, 20, 30, 110]
    assert len(splits.train) == 17


# Decoding


def saved(path: Path, image: Image.Image, **options: Any) -> Path:
    image.save(path, **options)
    return path


def test_squashes_with_an_antialiased_filter(tmp_path: Path) -> None:
    stripes = np.zeros((64, 32), np.uint8)
    stripes[:, ::2] = 255
    decoded = decoded_pixels(saved(tmp_path / "a.png", Image.fromarray(stripes)), 8, 1)
    assert decoded.shape == (1, 8, 8)
    assert abs(decoded[:, 2:-2, 2:-2].astype(int) - 127).max() <= 3


def test_gray_becomes_rgb_and_rgb_gray(tmp_path: Path) -> None:
    assert decoded_pixels(saved(tmp_path / "a.png", picture(77)), 4, 3).tolist() == [[[77] * 4] * 4] * 3
    red = saved(tmp_path / "b.png", Image.new("RGB", (9, 9), (255, 0, 0)))
    assert (decoded_pixels(red, 4, 1) == 76).all()  # 0.299 of 255


@pytest.mark.parametrize(("value", "expected"), [(0, 0), (257 * 100, 100), (65535, 255)])
@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_sixteen_bits_keep_their_whole_range(tmp_path: Path, value: int, expected: int, suffix: str) -> None:
    wide = Image.fromarray(np.full((6, 6), value, np.uint16))
    assert (decoded_pixels(saved(tmp_path / f"a.{suffix}", wide), 4, 1) == expected).all()


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparent_pixels_become_black(tmp_path: Path, mode: str) -> None:
    image = Image.new("RGBA", (8, 8), (200, 200, 200, 0))
    image.paste((200, 200, 200, 255), (4, 0, 8, 8))
    decoded = decoded_pixels(saved(tmp_path / "a.png", image.convert(mode)), 8, 3)
    assert decoded[:, 4, 0].tolist() == [0, 0, 0]
    assert decoded[:, 4, 7] == pytest.approx([200] * 3, abs=4)


def test_cmyk_jpeg_and_bilevel(tmp_path: Path) -> None:
    cmyk = Image.new("CMYK", (16, 16), (0, 255, 255, 0))
    assert decoded_pixels(saved(tmp_path / "a.jpg", cmyk), 4, 3)[:, 0, 0] == pytest.approx([255, 0, 0], abs=4)
    assert (decoded_pixels(saved(tmp_path / "b.png", Image.new("1", (8, 8), 1)), 4, 1) == 255).all()


def test_gray_is_resized_before_it_becomes_rgb_and_gives_the_same_bytes(tmp_path: Path) -> None:
    noise = Image.effect_noise((50, 41), 60)
    decoded = decoded_pixels(saved(tmp_path / "a.png", noise), 8, 3)
    resized = np.asarray(noise.convert("RGB").resize((8, 8), Image.Resampling.BICUBIC))
    assert (decoded == resized.transpose(2, 0, 1)).all()


@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_exif_orientation_is_applied(tmp_path: Path, suffix: str) -> None:
    image = Image.new("L", (32, 32), 0)
    image.paste(255, (0, 0, 32, 16))  # white above
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise by a quarter: white on the right
    decoded = decoded_pixels(saved(tmp_path / f"a.{suffix}", image, exif=exif), 8, 1)[0]
    assert decoded[:, :3].max() < 40
    assert decoded[:, 5:].min() > 215


def test_scaled_jpeg_decoding_stays_close_to_the_full_one(tmp_path: Path) -> None:
    y, x = np.mgrid[:256, :256]
    smooth = Image.fromarray((127 + 60 * np.sin(x / 20) + 60 * np.cos(y / 30)).astype(np.uint8))
    fast = decoded_pixels(saved(tmp_path / "a.jpg", smooth, quality=95), 32, 1)
    full = np.asarray(Image.open(tmp_path / "a.jpg").resize((32, 32), Image.Resampling.BICUBIC))
    assert abs(fast[0].astype(int) - full).max() <= 4
    assert (fast == decoded_pixels(tmp_path / "a.jpg", 32, 1)).all()


# The cache


def test_second_load_decodes_nothing(kaggle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = reader(kaggle).load()
    monkeypatch.setattr(decoding, "decode_image", no_decoding)
    again = reader(kaggle).load()
    assert again.train.fingerprint == first.train.fingerprint
    assert again.test.fingerprint == first.test.fingerprint
    reader(kaggle, pool_splits=True, test_per_class=1, seed=5).load()  # the same pixels, split otherwise
    kaggle.rename(kaggle.with_name("moved"))
    reader(kaggle.with_name("moved")).load()


def test_no_image_is_decoded_twice(kaggle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Path] = []

    def counted(file: Path, *settings: int) -> object:
        seen.append(file)
        return decode_image(file, *settings)

    monkeypatch.setattr(decoding, "decode_image", counted)
    reader(kaggle, pool_splits=True).load()
    assert len(seen) == len(set(seen)) == 16


@pytest.mark.parametrize("change", ["pixels", "name", "more", "size", "channels", "classes"])
def test_what_changes_the_pixels_changes_the_key(kaggle: Path, change: str) -> None:
    reader(kaggle).load()
    folder, changes = kaggle / "train" / "NORMAL", dict[str, Any]()
    if change == "pixels":
        picture(99).save(folder / "0.png")
    elif change == "name":
        (folder / "0.png").rename(folder / "9.png")
    elif change == "more":
        picture(99).save(folder / "3.png")
    else:
        others: dict[str, Any] = {"size": 9, "channels": 3, "classes": ["PNEUMONIA", "NORMAL"]}
        changes = {"image_size" if change == "size" else change: others[change]}
    splits = reader(kaggle, **changes).load()
    assert len(list((kaggle.parent / "cache").glob("images-*"))) == 2
    assert (99 in grays(splits.train)) == (change in {"pixels", "more"})


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-100])


def flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[-5] ^= 1
    file.write_bytes(content)


def empty(file: Path) -> None:
    file.write_bytes(b"")


def text(file: Path) -> None:
    file.write_text("something else")


def foreign(file: Path) -> None:
    save_file({"images": torch.zeros(16, 1, 8, 8, dtype=torch.uint8)}, file)


def altered(file: Path, **changes: Any) -> None:
    """The same file with other tensors or facts, under the right key."""
    with safe_open(file, "pt") as stored:
        about = stored.metadata() | {name: value for name, value in changes.items() if isinstance(value, str)}
        tensors = {"images": stored.get_tensor("images").clone(), "copies": stored.get_tensor("copies").clone()}
    save_file(
        tensors | {name: value for name, value in changes.items() if isinstance(value, torch.Tensor)}, file, about
    )


def other_copies(file: Path) -> None:
    altered(file, copies=torch.zeros(16, dtype=torch.int64))


def short_copies(file: Path) -> None:
    altered(file, copies=torch.zeros(3, dtype=torch.int64))


def no_peak(file: Path) -> None:
    altered(file, peak="")


@pytest.mark.parametrize("damage", [cut, flip, empty, text, foreign, other_copies, short_copies, no_peak])
def test_a_damaged_cache_is_rebuilt(
    kaggle: Path, damage: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    good = reader(kaggle).load()
    (file,) = (kaggle.parent / "cache").glob("images-*")
    damage(file)
    again = reader(kaggle).load()
    assert again.train.fingerprint == good.train.fingerprint
    assert again.left_out == good.left_out
    monkeypatch.setattr(decoding, "decode_image", no_decoding)
    reader(kaggle).load()  # whole again
    assert not list(file.parent.glob(".*"))  # no temporary files left


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files whose bytes were read for the cache's key; every change counts as long past."""
    files: list[Path] = []
    digest = pixel_cache._file_digest
    monkeypatch.setattr(pixel_cache, "_file_digest", lambda file: files.append(file) or digest(file))
    monkeypatch.setattr(pixel_cache, "_SETTLED", -60.0)
    return files


def test_sources_that_nobody_touched_are_not_read_again(kaggle: Path, read: list[Path]) -> None:
    first = reader(kaggle).load()
    assert len(read) == 16
    kaggle.rename(kaggle.with_name("moved"))
    again = reader(kaggle.with_name("moved")).load()
    assert len(read) == 16
    assert again.train.fingerprint == first.train.fingerprint


def test_an_edit_that_keeps_size_and_date_is_noticed(kaggle: Path, read: list[Path]) -> None:
    reader(kaggle).load()
    file = kaggle / "train" / "NORMAL" / "0.png"
    other = (kaggle / "train" / "NORMAL" / "1.png").read_bytes()
    before = file.stat()
    assert len(other) == before.st_size
    file.write_bytes(other)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert grays(reader(kaggle).load().train)[:2] == [20, 20]


def test_sources_changed_just_now_are_read_again(
    kaggle: Path, read: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pixel_cache, "_SETTLED", 60.0)  # the next change could fall on the same tick of the clock
    reader(kaggle).load()
    reader(kaggle).load()
    assert len(read) == 32


@pytest.mark.parametrize("damage", [empty, text])
def test_a_damaged_note_of_the_key_is_not_believed(
    kaggle: Path, read: list[Path], damage: Callable[[Path], None]
) -> None:
    good = reader(kaggle).load()
    (note,) = (kaggle.parent / "cache").glob("files-*")
    damage(note)
    assert reader(kaggle).load().train.fingerprint == good.train.fingerprint
    assert len(read) == 32


def test_splits_without_gaps_are_views_of_the_mapped_file_and_never_change_it(kaggle: Path) -> None:
    reader(kaggle).load()
    splits = reader(kaggle).load()
    assert splits.train.images.data_ptr() + splits.train.images.numel() == splits.test.images.data_ptr()
    splits.train.images.zero_()
    assert grays(reader(kaggle).load().train) == list(range(10, 110, 10))


def test_an_unwritable_cache_is_one_warning(kaggle: Path, caplog: pytest.LogCaptureFixture) -> None:
    blocked = kaggle.parent / "file"
    blocked.write_text("")
    assert len(reader(kaggle, cache_dir=str(blocked / "cache")).load().test) == 6
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert "\n" not in record.getMessage()
    assert str(blocked) in record.getMessage()


def test_the_cache_is_where_the_platform_says(kaggle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(kaggle.parent / "xdg"))
    reader(kaggle, cache_dir=None).load()
    assert len(list((kaggle.parent / "xdg" / "fedgan").glob("images-*"))) == 1
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(kaggle.parent))
    reader(kaggle, cache_dir=None).load()
    assert len(list((kaggle.parent / ".cache" / "fedgan").glob("images-*"))) == 1


# Bad input


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"root": None}, "root must be the folder"),
        ({"image_size": 0}, "image_size must be a whole number of at least 1; got 0"),
        ({"channels": 4}, "channels must be 1 (gray) or 3 (RGB); got 4"),
        ({"channels": True}, "channels must be 1 (gray) or 3 (RGB); got True"),
        ({"test_share": 1.0}, "test_share must be a number in"),
        ({"test_per_class": 0}, "test_per_class must be a whole number of at least 1, or null; got 0"),
        ({"pool_splits": "no"}, "pool_splits must be true or false; got 'no'"),
        ({"classes": []}, "classes must be a list of different names"),
    ],
)
def test_refuses_arguments_out_of_range(changes: dict[str, Any], said: str) -> None:
    arguments: dict[str, Any] = {"root": "x", "image_size": 8, "channels": 1, "seed": 0, "cache_dir": None}
    with pytest.raises(ValueError) as caught:
        ImageFolder(**{**arguments, **changes})
    assert said in str(caught.value)


def test_refuses_folders_laid_out_otherwise(kaggle: Path) -> None:
    refused(kaggle / "nowhere", "does not exist")
    refused(kaggle / "test" / "NORMAL" / "0.png", "is a file")
    refused(kaggle / "test" / "NORMAL", "must hold one folder per class")
    refused(kaggle, "must be among ['NORMAL', 'PNEUMONIA']", classes=["NORMAL", "COVID"])
    refused(kaggle, "dataset.test_per_class must be at most 2, the test images of 'NORMAL'; got 3", test_per_class=3)
    (kaggle / "train" / "EMPTY").mkdir()
    refused(kaggle, f"the class folder {str(kaggle / 'train' / 'EMPTY')!r} holds no images")
    (kaggle / "train").rename(kaggle / "moved")
    refused(kaggle, "must have both train/ and test/, or no folder of a split")


def test_refuses_to_split_a_single_image(tmp_path: Path) -> None:
    (tmp_path / "data" / "only").mkdir(parents=True)
    picture(1).save(tmp_path / "data" / "only" / "0.png")
    refused(tmp_path / "data", "at least 2 images of each class")


def broken_jpeg() -> bytes:
    file = io.BytesIO()
    Image.effect_noise((64, 64), 50).save(file, "JPEG")
    return file.getvalue()[:600]


@pytest.mark.parametrize("content", [b"", b"no image at all", broken_jpeg()])
@pytest.mark.parametrize("name", ["bad.jpeg", "bad.png"])
def test_names_the_unreadable_image(kaggle: Path, content: bytes, name: str) -> None:
    bad = kaggle / "train" / "NORMAL" / name
    bad.write_bytes(content)
    refused(kaggle, f"dataset.root: cannot read the image {str(bad)!r}")
    assert not (kaggle.parent / "cache").exists()


def test_refuses_decompression_bombs_and_pixels_of_unknown_range(
    kaggle: Path, monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder
) -> None:
    bad = kaggle / "train" / "NORMAL" / "bad.tif"
    Image.fromarray(np.zeros((4, 4), np.float32)).save(bad)
    refused(kaggle, f"{str(bad)!r}: floating-point pixels")
    Image.fromarray(np.full((4, 4), 70000, np.int32)).save(bad)
    refused(kaggle, f"{str(bad)!r}: integer pixels beyond 16 bits")
    bad.unlink()
    monkeypatch.setattr(decoding, "_MAX_PIXELS", 100)
    refused(kaggle, "0.png': 12 x 10 pixels, more than 100")
    monkeypatch.undo()
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 50)  # Pillow's own error at more than twice that
    refused(kaggle, "exceeds limit")
    assert not recwarn.list


# Real images


def test_real_xrays(tmp_path: Path) -> None:
    def load(**changes: Any) -> Splits:
        return reader(real_images("FEDGAN_CHESTX"), image_size=32, cache_dir=str(tmp_path), **changes).load()

    splits = load()
    assert splits.train.counts == {"NORMAL": 838, "PNEUMONIA": 2866}
    assert splits.test.counts == {"NORMAL": 234, "PNEUMONIA": 234}
    assert splits.train.images.float().std((1, 2, 3)).min() > 10  # none is blank
    assert load(pool_splits=True, test_per_class=100).train.counts == {"NORMAL": 1072, "PNEUMONIA": 3100}
