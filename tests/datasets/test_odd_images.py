"""Images and folders as the world has them: read as the docstrings say, or refused in one line that names the file."""

import struct
import zlib
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from PIL import Image

from fedgan.core.images import Splits
from fedgan.datasets.image_folder import ImageFolder
from fedgan.datasets.reading.decoding import decode_image


def load(root: Path, size: int = 8) -> Splits:
    return ImageFolder(root=str(root), image_size=size, channels=3, seed=0, cache_dir=str(root.parent / "cache")).load()


def fill(folder: Path, count: int = 3, gray: int = 100) -> Path:
    """Images of their own gray each, at most ``gray``."""
    folder.mkdir(parents=True)
    for index in range(count):
        Image.new("L", (12, 10), gray - index).save(folder / f"{index}.png")
    return folder


def sixteen_bit_png(pixels: npt.NDArray[np.uint16]) -> bytes:
    """RGB or RGBA by the last axis; Pillow reads such files but does not write them."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    height, width, channels = pixels.shape
    header = struct.pack(">IIBBBBB", width, height, 16, {3: 2, 4: 6}[channels], 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    parts = (chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def twelve_bits(folder: Path, count: int = 6) -> Path:
    """16-bit files of which 12 bits are used: left half 0, right half 4095 less 300 for each further image."""
    folder.mkdir(parents=True)
    for index in range(count):
        pixels = np.zeros((8, 8), np.uint16)
        pixels[:, 4:] = 4095 - 300 * index
        Image.fromarray(pixels).save(folder / f"{index}.png")
    return folder


def load_white(root: Path, white: int | None) -> Splits:
    return ImageFolder(
        root=str(root), image_size=8, channels=1, seed=0, cache_dir=str(root.parent / "cache"), white=white
    ).load()


@pytest.mark.parametrize("turn", ["decoded", "from the cache"])
def test_f3_files_that_use_a_small_part_of_their_range_are_noted(tmp_path: Path, turn: str) -> None:
    twelve_bits(tmp_path / "data" / "a")
    for _ in range(1 + (turn == "from the cache")):
        splits = load_white(tmp_path / "data", None)
    assert splits.notes[-1] == (
        "the largest value in gray files of 16 bits is 4,095, and dataset.white is 65,535, so that they are nearly "
        "black; dataset.white=4095 would show that value as white"
    )
    assert int(splits.train.images.max()) <= 16


@pytest.mark.parametrize("turn", ["decoded", "from the cache"])
@pytest.mark.parametrize(("white", "notes"), [(4095, 0), (8191, 0), (8 * 4095, 0), (8 * 4095 + 1, 1), (3000, 1)])
def test_f3_white_is_the_value_that_becomes_white(tmp_path: Path, white: int, notes: int, turn: str) -> None:
    twelve_bits(tmp_path / "data" / "a")
    load_white(tmp_path / "data", None)  # other pixels, kept under another key
    for _ in range(1 + (turn == "from the cache")):
        splits = load_white(tmp_path / "data", white)
    whites = {round(255 * min(4095 - 300 * index, white) / white) for index in range(6)}
    halves = torch.cat([splits.train.images, splits.test.images])[:, 0, 0]
    assert set(halves[:, 7].tolist()) == whites
    assert set(halves[:, 0].tolist()) == {0}
    assert sum("the largest value in gray files of 16 bits" in note for note in splits.notes) == notes


def test_f3_values_above_white_are_noted(tmp_path: Path) -> None:
    twelve_bits(tmp_path / "data" / "a")
    assert load_white(tmp_path / "data", 4000).notes[-1].endswith("all values between are shown as white")


def test_f3_images_that_are_black_alone_are_refused_with_the_reason(tmp_path: Path) -> None:
    for index in range(4):
        (tmp_path / "data" / "a").mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((8, 8), 100 + index, np.uint16)).save(tmp_path / "data" / "a" / f"{index}.png")
    with pytest.raises(ValueError) as caught:
        load_white(tmp_path / "data", None)
    assert "all 4 images of 'a' are of one group, or copies; the largest value in gray files of 16 bits is 103" in str(
        caught.value
    )
    assert len(load_white(tmp_path / "data", 103).test) == 1


def test_f3_files_of_eight_bits_have_their_whole_range(tmp_path: Path) -> None:
    fill(tmp_path / "data" / "a", gray=9)
    splits = load_white(tmp_path / "data", 4095)
    assert int(splits.train.images.max()) in (8, 9)
    assert not any("16 bits" in note for note in splits.notes)


@pytest.mark.parametrize("white", [0, 65536, "4095", 4095.0, True])
def test_f3_white_out_of_range_is_refused(tmp_path: Path, white: object) -> None:
    with pytest.raises(ValueError, match=r"^white must be a whole number from 1 to 65535, or null; got "):
        load_white(tmp_path, white)  # type: ignore[arg-type]


@pytest.mark.parametrize("suffix", ["gif", "png", "webp", "tif"])
def test_of_an_animation_the_first_frame(tmp_path: Path, suffix: str) -> None:
    first, second = (Image.new("RGB", (16, 16), (gray, gray, gray)) for gray in (50, 250))
    first.save(tmp_path / f"a.{suffix}", save_all=True, append_images=[second])
    assert decode_image(tmp_path / f"a.{suffix}", 8, 1).pixels == pytest.approx(50, abs=2)


def test_sixteen_bit_color_is_scaled_and_its_transparency_black(tmp_path: Path) -> None:
    color = np.broadcast_to(np.array([65535, 257 * 100, 0], np.uint16), (8, 8, 3))
    (tmp_path / "rgb.png").write_bytes(sixteen_bit_png(color))
    assert decode_image(tmp_path / "rgb.png", 4, 3).pixels[:, 0, 0].tolist() == [255, 100, 0]
    alpha = np.full((8, 8, 1), 65535, np.uint16)
    alpha[:, 4:] = 0
    (tmp_path / "rgba.png").write_bytes(sixteen_bit_png(np.concatenate([color, alpha], axis=2)))
    decoded = decode_image(tmp_path / "rgba.png", 8, 3).pixels
    assert decoded[:, 4, 0].tolist() == [255, 100, 0]
    assert decoded[:, 4, 7].tolist() == [0, 0, 0]


def test_sizes_and_colors_may_be_mixed(tmp_path: Path) -> None:
    folder = fill(tmp_path / "data" / "a")
    for index, (mode, size) in enumerate([("RGB", (1, 1)), ("CMYK", (300, 2)), ("1", (2, 300)), ("LA", (64, 64))]):
        Image.new(mode, size, 0).save(folder / f"odd{index}.{'tif' if mode == 'CMYK' else 'png'}")
    splits = load(tmp_path / "data")
    assert len(splits.train) + len(splits.test) == 7
    assert splits.train.images.shape[1:] == (3, 8, 8)


@pytest.mark.parametrize("side", [10_000, 14_000])  # above our limit; above the one from which Pillow refuses
def test_a_decompression_bomb_is_never_unpacked(tmp_path: Path, side: int) -> None:
    folder = fill(tmp_path / "data" / "a")
    Image.new("1", (side, side)).save(folder / "bomb.png")
    assert (folder / "bomb.png").stat().st_size < 100_000
    with pytest.raises(ValueError, match=r"^dataset.root: cannot read the image '.*bomb.png': .* pixels"):
        load(tmp_path / "data")


@pytest.mark.parametrize(
    "content",
    [b"P6 2 2 255\n" + bytes(12), b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n", b"word " * 99],
    ids=["ppm", "eps", "text"],
)
def test_content_counts_and_not_the_suffix(tmp_path: Path, content: bytes) -> None:
    """Postscript above all: Pillow would hand it to Ghostscript."""
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(ValueError, match=r"^dataset.root: cannot read the image '.*a.png': cannot identify"):
        decode_image(tmp_path / "a.png", 8, 3)


def test_odd_names_of_classes_and_files(tmp_path: Path) -> None:
    names = ["-rf", "a,b", "it's", "two words", "x.png", "Ünï", "肺炎"]
    for name in names:
        fill(tmp_path / "data" / name)
    splits = load(tmp_path / "data")
    assert splits.classes == tuple(sorted(names))
    assert set(splits.train.counts.values()) == {2}
    (tmp_path / "data" / "-rf" / "a\nb.png").write_bytes(b"")
    with pytest.raises(ValueError, match=r"^dataset.root: cannot read the image '.*-rf/a\\nb.png'[^\n]*$"):
        load(tmp_path / "data")


def test_links_are_followed_within_the_root_and_never_out_of_it(tmp_path: Path) -> None:
    inside = fill(tmp_path / "data" / "inside")
    outside = fill(tmp_path / "outside", gray=200)
    (inside / "loop.png").symlink_to("loop.png")
    (inside / "again").symlink_to(inside)
    (inside / "file.png").symlink_to(outside / "0.png")
    (inside / "more").symlink_to(outside)
    (tmp_path / "data" / "same").symlink_to(inside)
    (tmp_path / "door").symlink_to(tmp_path / "data")
    splits = load(tmp_path / "door")
    assert splits.classes == ("inside", "same")
    assert {**splits.train.counts} == {"inside": 2, "same": 2}
    assert int(splits.train.images.max()) <= 100
    (tmp_path / "data" / "way out").symlink_to(outside)
    with pytest.raises(ValueError, match=r"way out' holds no images .*links that lead outside dataset.root are not"):
        load(tmp_path / "data")
