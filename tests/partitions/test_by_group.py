"""Whole patients, whole hospitals."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import DictConfig
from PIL import Image
from sklearn.model_selection import GroupKFold

from fedgan.config.building.run import build_parts
from fedgan.core.images import ImageSet
from fedgan.datasets.image_folder import ImageFolder
from fedgan.partitions.by_group import ByGroup, dealt
from tests.helpers.partitions import assert_whole, labeled, same

steady = settings(derandomize=True, database=None, deadline=None)


@steady
@given(
    groups=st.lists(st.integers(0, 9), min_size=1, max_size=80), clients=st.integers(1, 8), seed=st.integers(0, 2**63)
)
def test_disjoint_covering_whole_and_reproducible(groups: list[int], clients: int, seed: int) -> None:
    images = labeled([0] * len(groups), groups=groups)
    if clients > len(set(groups)):
        with pytest.raises(ValueError, match=rf"^fl\.num_clients must be at most {len(set(groups))}, the number of"):
            ByGroup().split(images, clients, seed)
        return
    parts = ByGroup().split(images, clients, seed)
    assert_whole(parts, len(groups))
    owners = [{groups[i] for i in part.tolist()} for part in parts]
    assert sum(map(len, owners)) == len(set(groups)), "no group is at two clients"
    assert all(owners), "and no client without one"
    assert same(parts, ByGroup().split(images, clients, seed))


@steady
@given(groups=st.lists(st.integers(0, 19), min_size=30, max_size=200), clients=st.integers(2, 6))
def test_sizes_are_those_of_scikit_learns_group_folds(groups: list[int], clients: int) -> None:
    """GroupKFold balances its folds by the same rule."""
    if len(set(groups)) <= clients:
        return
    images = labeled([0] * len(groups), groups=groups)
    folds = GroupKFold(clients).split(np.zeros(len(groups)), groups=groups)
    mine = [len(part) for part in ByGroup().split(images, clients, seed=0)]
    assert sorted(mine) == sorted(len(test) for _, test in folds)


def test_by_hand() -> None:
    """7, 5, 4 and 2 images over two clients: 7 | 5, then 5 + 4, then 7 + 2."""
    assert dealt([7, 5, 4, 2], 2, [3, 2, 1, 0]) == [0, 1, 1, 0]


def test_as_many_hospitals_as_clients_are_the_clients_in_the_order_of_their_names() -> None:
    """Whatever the seed, and whatever their sizes."""
    images = labeled([0] * 7, hospitals=[2, 0, 1, 1, 1, 2, 2])
    for seed in (0, 1):
        parts = ByGroup(by="hospital").split(images, 3, seed)
        assert [part.tolist() for part in parts] == [[1], [2, 3, 4], [0, 5, 6]]


def test_the_seed_decides_between_groups_of_one_size() -> None:
    images = labeled([0] * 40, groups=[i // 2 for i in range(40)])
    assert not same(ByGroup().split(images, 4, 0), ByGroup().split(images, 4, 1))


def test_what_the_data_set_does_not_know_is_refused() -> None:
    said = r"^by must be what the data set knows .*\(by dataset\.labels with .*\.hospital, or .*\.hospital_pattern\); "
    with pytest.raises(ValueError, match=said):
        ByGroup(by="hospital").split(labeled([0] * 4, groups=[0, 0, 1, 1]), 2, 0)
    with pytest.raises(ValueError, match="^by must be one of group, hospital; got 'ward'"):
        ByGroup(by="ward")  # type: ignore[arg-type]


def test_groups_stay_with_their_images() -> None:
    images = labeled([0, 1, 0], groups=[5, 6, 7], hospitals=[1, 1, 2])
    part = images.subset(torch.tensor([2, 0])).to(torch.device("cpu"))
    assert part.groups is not None
    assert part.hospitals is not None
    assert (part.groups.tolist(), part.hospitals.tolist()) == ([7, 5], [2, 1])
    assert part.fingerprint == ImageSet(part.images, part.labels, part.classes).fingerprint, "as of runs so far"


@pytest.fixture
def hospitals(tmp_path: Path) -> Path:
    """Two classes, 3 hospitals with 10, 20 and 10 images and 2 images for each patient; a table says which."""
    rng, rows = np.random.default_rng(0), ["image,label,patient,hospital"]
    (tmp_path / "data").mkdir()
    for hospital, count in (("north", 10), ("east", 20), ("south", 10)):
        for i in range(count):
            name = f"{hospital}-p{i // 2:02}-{i}.png"
            Image.fromarray(rng.integers(0, 256, (32, 32), dtype=np.uint8)).save(tmp_path / "data" / name)
            rows.append(f"{name},{'ab'[i // 2 % 2]},{hospital}{i // 2},{hospital}")
    (tmp_path / "data" / "labels.csv").write_text("\n".join(rows))
    return tmp_path / "data"


def owners(folder: Path, configure: Callable[..., DictConfig], tmp_path: Path, *settings_: str) -> dict[str, list[int]]:
    """The partition of a run on these images, as run.json has it."""
    overrides = ("dataset=image_folder", f"dataset.root={folder}", "dataset.channels=1", "attack=none", *settings_)
    plain = ("logger=none", "metrics=[none]", "model.generator.base_channels=4", "dataset.image_size=32")
    return build_parts(configure(*overrides, *plain, tiny=False), tmp_path / "run").federated_data.table


def test_hospitals_are_clients_and_patients_are_on_one_side_of_the_split(
    hospitals: Path, configure: Callable[..., DictConfig], tmp_path: Path
) -> None:
    """The test set is drawn by patients from all hospitals, of 20, 10 and 10 images."""
    chosen = ("dataset.labels=labels.csv", "partition=by_group", "partition.by=hospital", "fl.num_clients=3")
    table = owners(hospitals, configure, tmp_path, *chosen)
    east, north, south = (sum(counts[i] for counts in table.values()) for i in range(3))
    assert east + north + south == 32
    assert 10 < east <= 20
    assert max(north, south) <= 10
    splits = ImageFolder(
        root=str(hospitals), image_size=32, channels=1, labels="labels.csv", seed=0, cache_dir=None
    ).load()
    assert splits.train.groups is not None
    assert splits.test.groups is not None
    assert not set(splits.train.groups.tolist()) & set(splits.test.groups.tolist())
    assert splits.train.hospitals is not None
    assert torch.bincount(splits.train.hospitals).tolist() == [east, north, south]
    assert "hospital from hospital" in splits.notes[0]


def test_patterns_do_the_same_without_a_table(tmp_path: Path, hospitals: Path) -> None:
    for name in "ab":
        (tmp_path / "folders" / name).mkdir(parents=True)
    for i, file in enumerate(sorted(hospitals.glob("*.png"))):
        file.rename(tmp_path / "folders" / "ab"[i // 2 % 2] / file.name)
    settings_ = {"group_pattern": r"\w+-p\d+", "hospital_pattern": r"(\w+)-p\d+-"}
    splits = ImageFolder(
        root=str(tmp_path / "folders"), image_size=32, channels=1, seed=0, cache_dir=None, **settings_
    ).load()
    assert splits.train.hospitals is not None
    assert splits.train.hospitals.unique().tolist() == [0, 1, 2]
    assert "dataset.hospital_pattern: 3 hospitals; it matches all but 0 files" in splits.notes


def test_a_hospital_by_column_and_by_pattern_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^hospital_pattern must be null with columns\.hospital; got 'x'"):
        ImageFolder(
            root=str(tmp_path),
            image_size=8,
            channels=1,
            labels="labels.csv",
            columns={"hospital": "center"},
            hospital_pattern="x",
            seed=0,
            cache_dir=None,
        )
