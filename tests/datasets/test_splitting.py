"""Training and test images: no group and no copy on both sides, by the drawing rule and from files to splits."""

import json
import re
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from fedgan.core.images import Splits
from fedgan.core.rng import keyed_generator
from fedgan.datasets.image_folder import ImageFolder
from fedgan.datasets.reading.division import Division, divide, train_apart
from fedgan.datasets.reading.listing import DRAWN, Entry, Listing
from fedgan.datasets.reading.splitting import draw as draw_test
from fedgan.datasets.reading.splitting import first_copies, first_with_same, parted, units
from tests.helpers.datasets import both, counts, draw, read, refusal, tree
from tests.helpers.images import real_images

steady = settings(derandomize=True, database=None, deadline=None)
CLASSES = ("a", "b", "c")
# Each image: its class, and its group and its copies by a small number; None for none.
images = st.lists(
    st.tuples(st.integers(0, 2), st.none() | st.integers(0, 12), st.none() | st.integers(0, 12)),
    min_size=1,
    max_size=60,
)
Images = list[tuple[int, int | None, int | None]]


def drawn(of: Images, wanted: list[int], seed: int) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Labels, and which images are drawn."""
    labels = np.array([label for label, _, _ in of])
    unit_of = units(first_with_same(group for _, group, _ in of), first_with_same(copy for _, _, copy in of))
    return labels, draw_test(labels, CLASSES, unit_of, wanted, seed)


def old_rule(labels: Tensor, classes: tuple[str, ...], wanted: list[int], seed: int) -> Tensor:
    """What drew test images before there were groups: the first of a random order of each class."""
    mask = torch.zeros(len(labels), dtype=torch.bool)
    for label, name in enumerate(classes):
        members = (labels == label).nonzero().flatten()
        order = torch.randperm(len(members), generator=keyed_generator(seed, "test images", name))
        mask[members[order[: wanted[label]]]] = True
    return mask


# The drawing rule (A10)


@steady
@given(images, st.lists(st.integers(0, 30), min_size=3, max_size=3), st.integers(0, 99))
def test_a10_no_group_and_no_copy_is_drawn_in_part(of: Images, wanted: list[int], seed: int) -> None:
    _, chosen = drawn(of, wanted, seed)
    for kind in (1, 2):
        sides: dict[int, set[bool]] = {}
        for image, test in zip(of, chosen.tolist(), strict=True):
            mark = image[kind]
            if mark is not None:
                sides.setdefault(mark, set()).add(test)
        assert all(len(side) == 1 for side in sides.values())


@steady
@given(images, st.lists(st.integers(0, 30), min_size=3, max_size=3), st.integers(0, 99))
def test_a10_at_most_as_many_as_wanted_are_drawn_and_no_whole_unit_more_would_fit(
    of: Images, wanted: list[int], seed: int
) -> None:
    labels, chosen = drawn(of, wanted, seed)
    room = [want - int((chosen & (labels == label)).sum()) for label, want in enumerate(wanted)]
    assert min(room) >= 0
    unit_of = units(first_with_same(group for _, group, _ in of), first_with_same(copy for _, _, copy in of))
    for unit in set(unit_of[~chosen].tolist()):
        needs = Counter(labels[unit_of == unit].tolist())
        assert any(count > room[label] for label, count in needs.items())


@steady
@given(images, st.lists(st.integers(0, 30), min_size=3, max_size=3), st.integers(0, 99))
def test_a10_the_draw_depends_on_the_seed_alone(of: Images, wanted: list[int], seed: int) -> None:
    assert (drawn(of, wanted, seed)[1] == drawn(of, wanted, seed)[1]).all()


def test_a10_seeds_draw_different_groups() -> None:
    of: Images = [(0, index // 3, None) for index in range(60)]
    assert len({drawn(of, [12, 0, 0], seed)[1].tobytes() for seed in range(8)}) == 8
    assert {int(drawn(of, [12, 0, 0], seed)[1].sum()) for seed in range(8)} == {12}


@steady
@given(st.lists(st.integers(0, 2), min_size=1, max_size=80), st.integers(0, 99), st.data())
def test_a10_without_groups_and_copies_the_draw_is_what_it_always_was(
    labels: list[int], seed: int, data: st.DataObject
) -> None:
    wanted = [data.draw(st.integers(0, labels.count(label))) for label in range(3)]
    chosen = draw_test(np.array(labels), CLASSES, np.arange(len(labels)), wanted, seed)
    assert chosen.tolist() == old_rule(torch.tensor(labels), CLASSES, wanted, seed).tolist()


def test_a10_files_without_groups_are_split_as_ever(tmp_path: Path) -> None:
    root = tree(tmp_path / "data", {"a": 23, "b": 9})
    everything = read(root, pool_splits=True, seed=3)
    labels = everything.train.labels
    mask = old_rule(labels, ("a", "b"), [round(0.2 * 23), round(0.2 * 9)], 3)
    splits = read(root, seed=3)
    assert torch.equal(splits.test.images, everything.train.images[mask])
    assert torch.equal(splits.train.images, everything.train.images[~mask])


# Units


def test_units_connect_through_others() -> None:
    """0 and 1 share a group, 1 and 2 are copies, 3 and 4 share a group, 5 is alone."""
    unit_of = units(np.array([0, 0, 2, 3, 3, 5]), np.array([0, 1, 1, 3, 4, 5])).tolist()
    assert [unit_of.index(unit) for unit in unit_of] == [0, 0, 0, 3, 3, 5]


@steady
@given(images)
def test_units_are_the_smallest_that_hold_groups_and_copies_whole(of: Images) -> None:
    unit_of = units(first_with_same(group for _, group, _ in of), first_with_same(copy for _, _, copy in of))
    reached = [{index} for index in range(len(of))]  # by walking from image to image
    for _ in of:
        for one, near in enumerate(reached):
            for other in range(len(of)):
                same = any(of[one][kind] is not None and of[one][kind] == of[other][kind] for kind in (1, 2))
                if same:
                    near |= reached[other]
    for one in range(len(of)):
        assert {other for other in range(len(of)) if unit_of[other] == unit_of[one]} == reached[one]


def test_copies_are_found_by_every_pixel_and_through_all_parts() -> None:
    noise = torch.randint(0, 256, (4, 3, 5, 5), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    almost = noise[:1].clone()
    almost[0, 2, 4, 4] ^= 1
    again = torch.cat([almost, noise[2:3]]).to(memory_format=torch.channels_last)
    assert first_copies(noise, again, noise[1:2]).tolist() == [0, 1, 2, 3, 4, 2, 1]


def test_images_with_one_checksum_are_distinguished(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fedgan.datasets.reading.splitting.zlib.crc32", lambda _: 7)
    apart = torch.arange(3, dtype=torch.uint8)[:, None, None, None]
    assert first_copies(torch.cat([apart, apart[1:2]])).tolist() == [0, 1, 2, 1]


def test_training_images_of_a_test_images_unit_are_parted() -> None:
    is_test = np.array([False, True, False, False, True])
    assert parted(np.array([0, 0, 2, 4, 4]), is_test).tolist() == [True, False, False, True, False]


# From files to splits (A10)


def people(splits: Splits, names: dict[bytes, str]) -> tuple[set[str], set[str]]:
    """The people on either side, by the pixels of their images."""
    train, test = ({names[image.tobytes()] for image in part.images.numpy()} for part in (splits.train, splits.test))
    return train, test


def scans(root: Path) -> dict[bytes, str]:
    """Sixty images of people with one to four each, in two classes; returns each image's person, by its pixels."""
    for index in range(60):
        person = f"person{index // 4 * 3 + index % 4 % 3}"
        draw(root / "ab"[index % 2] / f"{person}_bacteria_{index}.png")
    whole = read(root, pool_splits=True)
    files = [file for name in "ab" for file in sorted((root / name).iterdir())]
    named = (re.match(r"person\d+", file.name) for file in files)
    return {image.tobytes(): match[0] for image, match in zip(whole.train.images.numpy(), named, strict=True) if match}


@pytest.mark.parametrize("pattern", [r"person\d+", r"(person\d+)_bacteria_\d+", r"/(?:person)(\d+)_"])
def test_a10_nobody_is_on_both_sides_with_a_pattern_for_people(tmp_path: Path, pattern: str) -> None:
    names = scans(tmp_path / "data")
    train, test = people(read(tmp_path / "data"), names)
    assert train & test  # without groups somebody is
    splits = read(tmp_path / "data", group_pattern=pattern)
    train, test = people(splits, names)
    assert not train & test
    assert train | test == set(names.values())
    assert f"dataset.group_pattern: {len(train | test)} groups; it matches all but 0 files" in splits.notes
    assert any("was drawn for it, in whole groups" in note for note in splits.notes)


def test_a10_files_without_a_group_stand_alone_and_are_counted(tmp_path: Path) -> None:
    root = tree(tmp_path / "data", {"a": 5, "b": 5})
    for index in range(5):
        draw(root / "a" / f"p1_{index}.png")
    splits = read(root, group_pattern=r"p\d", test_share=0.5)
    assert "dataset.group_pattern: 1 groups; it matches all but 10 files" in splits.notes
    assert counts(splits) in ({"a": (5, 5), "b": (3, 2)}, {"a": (5, 5), "b": (2, 3)})


def test_a10_copies_are_drawn_together(tmp_path: Path) -> None:
    root = tree(tmp_path / "data", {"a": 8, "b": 8})
    for index in range(8):
        draw(root / "a" / f"again{index}.png", key=str(root / "a" / f"{index:03d}.png"))
    for seed in range(5):
        splits = read(root, seed=seed, test_share=0.4)
        sides = [{image.tobytes() for image in part.images.numpy()} for part in (splits.train, splits.test)]
        assert not sides[0] & sides[1]
        assert counts(splits) == {"a": (10, 6), "b": (5, 3)}
        assert "5 training and 3 test images are copies of others on their side, and stay" in splits.notes


def test_a10_training_images_that_are_copies_of_test_images_are_left_out(tmp_path: Path) -> None:
    root = tree(tmp_path / "data", both("train val test", count=5))
    shutil.copy(root / "test" / "a" / "000.png", root / "train" / "a" / "x.png")
    shutil.copy(root / "test" / "b" / "001.png", root / "train" / "a" / "wrong.png")
    shutil.copy(root / "test" / "a" / "002.png", root / "val" / "b" / "y.png")
    shutil.copy(root / "train" / "b" / "000.png", root / "train" / "b" / "z.png")
    splits = read(root)
    assert counts(splits) == {"a": (10, 5), "b": (11, 5)}
    assert splits.left_out == {"training images that are copies of test images": 3}
    assert splits.notes == ("1 training and 0 test images are copies of others on their side, and stay",)
    assert not splits.pooled
    pooled = read(root, pool_splits=True)
    assert counts(pooled) == {"a": (17, 5), "b": (17, 5)}
    assert pooled.pooled
    assert not pooled.left_out
    assert "the test images are also training images" in str(pooled)


def test_a10_training_images_of_a_test_images_person_are_left_out(tmp_path: Path) -> None:
    root = tree(tmp_path / "data", both("train test", count=3))
    for split, person, index in (("train", 1, 0), ("train", 1, 1), ("test", 1, 2), ("train", 2, 3)):
        draw(root / split / "a" / f"person{person}_{index}.png")
    # a copy of person 1's first image has another name: the same person nevertheless
    shutil.copy(root / "train" / "a" / "person1_0.png", root / "train" / "b" / "unnamed.png")
    splits = read(root, group_pattern=r"person\d+")
    assert counts(splits) == {"a": (4, 4), "b": (3, 3)}
    assert splits.left_out == {"training images of groups in the test set": 3}


def test_a10_which_images_train_does_not_depend_on_how_many_test(tmp_path: Path) -> None:
    root = tree(tmp_path / "data", both("train test", count=5))
    for index in range(3):
        shutil.copy(root / "test" / "a" / f"00{index}.png", root / "train" / "a" / f"x{index}.png")
    few, many = read(root, test_per_class=2), read(root)
    assert few.train.fingerprint == many.train.fingerprint
    assert counts(few) == {"a": (5, 2), "b": (5, 2)}
    assert few.left_out["test images beyond dataset.test_per_class"] == 6
    assert read(root, test_per_class=2, pool_splits=True).left_out == {}


def test_a10_a_class_with_nothing_left_is_refused_with_a_remedy(tmp_path: Path) -> None:
    root = tree(tmp_path / "data", both("train test", count=3))
    shutil.rmtree(root / "train" / "a")
    shutil.copytree(root / "test" / "a", root / "train" / "a")
    with pytest.raises(ValueError) as caught:
        read(root)
    assert str(caught.value) == (
        "dataset.root: all training images of ['a'] are copies of test images or of their groups, so that none is "
        "left; dataset.pool_splits=true trains on them"
    )
    assert counts(read(root, pool_splits=True)) == {"a": (6, 3), "b": (6, 3)}


def test_a10_copies_are_known_from_the_cache_too(tmp_path: Path) -> None:
    root = tree(tmp_path / "data", both("train test"))
    shutil.copy(root / "test" / "a" / "000.png", root / "train" / "a" / "x.png")
    assert read(root).left_out == read(root).left_out == {"training images that are copies of test images": 1}


@pytest.mark.parametrize(
    ("groups", "words"),
    [
        ("pppppp", "dataset.root must hold at least 2 groups of each class to be split; all 6 images of 'a'"),
        (
            "pppqqq",
            "dataset.test_share must be large enough for a whole group, which is at least 3 of the 6 images of 'a'",
        ),
    ],
)
def test_a10_groups_too_large_for_the_share_are_refused(tmp_path: Path, groups: str, words: str) -> None:
    for index, group in enumerate(groups):
        draw(tmp_path / "data" / "a" / f"{group}{index}.png")
    with pytest.raises(ValueError, match=re.escape(words)):
        read(tmp_path / "data", group_pattern=r"[pq](?=\d)")


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("(", "must be a regular expression, such as '(person\\d+|IM-\\d+)', or null; got '(' (missing ), "),
        ("", "must be a regular expression"),
        (7, "must be a regular expression"),
        (
            "person",
            "must be a pattern that some of the 3 paths below dataset.root match, such as 'a/000.png'; got 'person'",
        ),
    ],
)
def test_a10_patterns_that_are_none_or_match_nothing_are_refused(tmp_path: Path, pattern: Any, words: str) -> None:
    root = tree(tmp_path / "data", {"a": 3})
    assert f"group_pattern {words}" in refusal(root, group_pattern=pattern)


def test_a10_less_than_wanted_is_noted(tmp_path: Path) -> None:
    for index in range(20):
        draw(tmp_path / "data" / "a" / f"p{index // 3}_{index}.png")
    splits = read(tmp_path / "data", group_pattern=r"p\d_", seed=1)
    drawn_count = len(splits.test)
    assert drawn_count < 4
    assert any(f"in whole groups: {drawn_count} images, not 4, since no group is cut" in note for note in splits.notes)


def test_a_single_image_cannot_be_split() -> None:
    listing = Listing([Entry(Path("x"), 0, "all")], ("a",), Counter(), [])
    with pytest.raises(ValueError, match=r"at least 2 images of each class to be split; 'a' has 1$"):
        divide(listing, np.array([0]), Division(False, 0.2, None, 0))


@pytest.mark.parametrize(("share", "test"), [(0.01, [1, 1]), (0.5, [1, 2]), (0.99, [1, 4])])
def test_at_least_one_image_of_each_class_is_on_either_side(share: float, test: list[int]) -> None:
    labels = [0] * 2 + [1] * 5
    listing = Listing([Entry(Path(f"{i}"), label, DRAWN) for i, label in enumerate(labels)], ("a", "b"), Counter(), [])
    parts = divide(listing, np.arange(7), Division(False, share, None, 0))
    assert np.bincount(np.array(labels)[parts.test]).tolist() == test
    assert sorted([*parts.train.tolist(), *parts.test.tolist()]) == list(range(7))


def test_what_is_left_out_can_be_written_as_json() -> None:
    """Of five images the first is a test image, its copy and one of its group are not; the counts are plain numbers."""
    unit_of, copies = np.array([0, 0, 0, 3, 4]), np.array([0, 0, 2, 3, 4])
    train, left_out = train_apart(copies, unit_of, np.array([True, False, False, False, False]))
    assert train.tolist() == [3, 4]
    assert json.loads(json.dumps(left_out)) == {
        "training images that are copies of test images": 1,
        "training images of groups in the test set": 1,
    }


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"pool_splits": "no"}, "pool_splits must be true or false; got 'no'"),
        ({"test_share": 0}, r"test_share must be a number in \(0, 1\); got 0"),
        ({"test_share": 1}, r"test_share must be a number in \(0, 1\); got 1"),
        ({"test_per_class": 0}, "test_per_class must be a whole number of at least 1, or null; got 0"),
        ({"seed": -1}, "seed must be a whole number of at least 0; got -1"),
    ],
)
def test_divisions_that_are_none_are_refused(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=f"^{words}"):
        ImageFolder(root=".", image_size=32, channels=1, **settings)


# Real images


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a10_real_xrays_laid_flat_have_nobody_and_no_copy_on_both_sides(tmp_path: Path, seed: int) -> None:
    root, cache = real_images("FEDGAN_CHESTX") / "train", str(tmp_path)
    pattern = r"(person\d+|IM-\d+)"
    whole = read(root, cache_dir=cache, image_size=32, pool_splits=True)
    files = [file for name in whole.classes for file in sorted((root / name).iterdir())]
    owners: dict[bytes, set[str]] = {}
    for image, file in zip(whole.train.images.numpy(), files, strict=True):
        match = re.search(pattern, file.name)
        assert match is not None
        owners.setdefault(image.tobytes(), set()).add(match[0])

    def sides(**changes: Any) -> tuple[set[str], set[str], set[bytes], set[bytes]]:
        splits = read(root, cache_dir=cache, image_size=32, seed=seed, **changes)
        train, test = ({image.tobytes() for image in part.images.numpy()} for part in (splits.train, splits.test))
        return *({owner for image in side for owner in owners[image]} for side in (train, test)), train, test

    train, test, train_images, test_images = sides()
    assert len(train & test) > 100  # people, where nobody said that there are people
    assert not train_images & test_images
    train, test, train_images, test_images = sides(group_pattern=pattern)
    assert not train & test
    assert not train_images & test_images
