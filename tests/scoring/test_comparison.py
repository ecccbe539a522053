"""The picture of a flagged client: what is framed, cut out and subtracted, pixel by pixel."""

import numpy as np
import pytest
import torch
from PIL import Image

from fedgan.defenses.base import Comparison
from fedgan.scoring import comparison
from fedgan.scoring.comparison import around, draw_comparisons
from fedgan.scoring.grid import HEADLINE, headed
from fedgan.scoring.maps import GAP, SIDE, Place, draw_maps, place_of

SCALE = SIDE // 32


def evidence(rows: slice, columns: slice) -> torch.Tensor:
    found = torch.rand(32, 32, generator=torch.Generator().manual_seed(0))
    found[rows, columns] = 9.0
    return found


def square(channels: int = 1) -> Comparison:
    """A white square on gray, which the others do not draw."""
    own, others = torch.zeros(channels, 32, 32), torch.zeros(channels, 32, 32)
    own[:, 12:16, 8:12] = 1.0
    return Comparison(own, others, torch.stack([own, others]))


def tiles(picture: Image.Image, count: int) -> list[np.ndarray]:
    """The tiles of the first row, without its two headlines."""
    pixels = np.asarray(picture)[2 * HEADLINE :]
    side = SCALE * 32
    starts = [i * (side + GAP) for i in range(count)]
    return [pixels[:side, start : start + side] for start in starts]


def test_a_place_is_what_is_connected_to_the_highest_value() -> None:
    ring = torch.zeros(16, 16)
    ring[3:8, 4:10] = 6.0
    ring[4:7, 5:9] = 1.0  # low within, high around: a large trigger's edge
    ring[3, 4], ring[12, 12] = 8.0, 7.0
    assert place_of(ring) == Place(3, 7, 4, 9)
    assert place_of(torch.zeros(4, 5)) == Place(0, 3, 0, 4), "nothing stands out"
    diagonal = torch.eye(4)
    assert place_of(diagonal) == Place(0, 3, 0, 3)


def test_what_is_cut_out_is_three_times_the_place() -> None:
    assert around(Place(12, 15, 8, 11), 32, 32) == (slice(8, 20), slice(4, 16))
    assert around(Place(5, 5, 5, 6), 32, 32) == (slice(1, 10), slice(2, 11)), "of a single pixel nine by nine"
    assert around(Place(28, 31, 0, 3), 32, 32) == (slice(24, 32), slice(0, 8)), "the image ends there"


def test_f18_a_person_sees_the_place_in_images_and_enlarged() -> None:
    found = {"place": (evidence(slice(12, 16), slice(8, 12)), square())}
    picture = draw_comparisons("client 2", found)
    heat, first, second = tiles(picture, 3)
    frame = [0x00, 0xE6, 0x76]
    for tile in (heat, first, second):
        framed = np.argwhere((tile == frame).all(axis=-1))
        assert framed.min(axis=0).tolist() == [12 * SCALE, 8 * SCALE]
        assert framed.max(axis=0).tolist() == [16 * SCALE - 1, 12 * SCALE - 1]
    assert first[14 * SCALE, 10 * SCALE].tolist() == [255] * 3
    assert first[2, 2].tolist() == second[14 * SCALE, 10 * SCALE].tolist() == [128] * 3
    cut = np.asarray(picture)[2 * HEADLINE :, 3 * (SCALE * 32 + GAP) :]
    large = -(-SIDE // 12)  # 4 x 4 pixels in the middle of 12 x 12
    own, others, apart = (cut[: 12 * large, i * (12 * large + GAP) :][:, : 12 * large] for i in range(3))
    for tile in (own, others, apart):
        framed = np.argwhere((tile == frame).all(axis=-1))
        assert framed.min(axis=0).tolist() == [4 * large] * 2
        assert framed.max(axis=0).tolist() == [8 * large - 1] * 2
    middle = slice(4 * large + 2, 8 * large - 2)  # within the frame
    assert own[middle, middle].min() == 255
    assert own[: 4 * large].max() == others[: 4 * large].max() == others[middle, middle].max() == 0, (
        "from the darkest to the brightest of both"
    )
    assert apart[middle, middle, 0].min() > apart[middle, middle, 2].max(), "red: the client is brighter"
    assert np.ptp(apart[: 4 * large]) < 5, "white where they agree"


def test_f18_colors_stay_and_a_spectrum_has_no_images() -> None:
    own = square(3).own
    own[1, 12:16, 8:12], own[2, 12:16, 8:12] = -1.0, 0.0
    red = Comparison(own, square(3).others, own[None])
    place = evidence(slice(12, 16), slice(8, 12))
    picture = draw_comparisons("client 2", {"place": (place, red)})
    assert tiles(picture, 2)[1][14 * SCALE, 10 * SCALE].tolist() == [255, 0, 128]
    spectrum = Comparison(torch.rand(1, 32, 15), torch.rand(1, 32, 15), torch.zeros(0, 1, 32, 32))
    cut = np.asarray(picture)[2 * HEADLINE :, 2 * (SCALE * 32 + GAP) :]  # one image alone
    apart = cut[5 * 11, 2 * (12 * 11 + GAP) + 5 * 11]
    assert max(apart) - min(apart) > 50, "a change of color that leaves the mean is a difference too"
    two = draw_comparisons("client 2", {"place": (place, red), "spectrum": (torch.rand(32, 15), spectrum)})
    assert two.height > picture.height + SIDE
    alone = draw_comparisons("client 2", {"spectrum": (torch.rand(32, 15), spectrum)})
    assert alone.height <= SIDE + HEADLINE * 2 + 32, "the longer side is enlarged"
    assert alone.width >= 4 * SIDE, "there is room for titles"


def test_e7_all_of_an_image_is_said_in_words_and_not_framed(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(comparison, "headed", lambda picture, text: said.append(text) or headed(picture, text))
    frame = [0x00, 0xE6, 0x76]
    for high, where in ((slice(0, 32), "the whole image"), (slice(1, 32), "rows 1 to 31, columns 0 to 31")):
        picture = draw_comparisons("client 2", {"place": (evidence(high, slice(0, 32)), square())})
        framed = [(tile == frame).all(axis=-1).any() for tile in tiles(picture, 3)]
        assert framed == 3 * [where != "the whole image"]
        assert said[-1] == f"client 2, place: {where}"
    spectrum = Comparison(torch.rand(1, 32, 15), torch.rand(1, 32, 15), torch.zeros(0, 1, 32, 32))
    draw_comparisons("client 2", {"spectrum": (torch.ones(32, 15), spectrum)})
    assert said[-1] == "client 2, spectrum: the whole map"


def test_the_first_line_of_maps_says_how_high_they_go() -> None:
    maps = {i: torch.rand(8, 8, generator=torch.Generator().manual_seed(i)) for i in range(2)}
    once, twice = (np.asarray(draw_maps({i: factor * each for i, each in maps.items()})) for factor in (1.0, 2.0))
    differing = (once != twice).any(axis=(1, 2)).nonzero()[0]
    assert len(differing)
    assert differing.max() < HEADLINE, "the colors are relative to the highest"
    assert np.asarray(draw_maps({0: torch.zeros(8, 8)}))[2 * HEADLINE :].max() < 10, "nothing differs: all dark"
