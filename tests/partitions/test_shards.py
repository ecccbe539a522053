"""Shards of the images sorted by class."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedgan.partitions.shards import Shards
from tests.helpers.partitions import assert_whole, contents, labeled, same

steady = settings(derandomize=True, database=None, deadline=None, max_examples=60)


@steady
@given(
    labels=st.lists(st.integers(0, 4), min_size=1, max_size=200),
    clients=st.integers(1, 6),
    per_client=st.integers(1, 4),
    seed=st.integers(0, 2**63),
)
def test_disjoint_covering_even_and_reproducible(labels: list[int], clients: int, per_client: int, seed: int) -> None:
    images, partition = labeled(labels), Shards(per_client=per_client)
    most = len(labels) // clients
    if per_client > most:
        with pytest.raises(ValueError, match=f"^per_client must be at most {most}, the {len(labels)} training images"):
            partition.split(images, clients, seed)
        return
    parts = partition.split(images, clients, seed)
    assert_whole(parts, len(labels))
    sizes = [len(part) for part in parts]
    assert max(sizes) - min(sizes) <= per_client, "shards differ by one at most"
    assert same(parts, partition.split(images, clients, seed))


def test_two_classes_four_shards_by_hand() -> None:
    """0 0 0 0 1 1 1 1 and two shards each: {00}, {00}, {11}, {11}, so a client has 00 11, or both of one class."""
    labels, seen = [0, 0, 0, 0, 1, 1, 1, 1], set()
    for seed in range(20):
        (one, other) = contents(Shards(per_client=2).split(labeled(labels), 2, seed), labels)
        seen.add((tuple(one), tuple(other)))
    assert seen == {((2, 2), (2, 2)), ((4, 0), (0, 4)), ((0, 4), (4, 0))}


def test_one_shard_each_is_one_class_each_whatever_the_order_of_the_images() -> None:
    labels = [0, 1, 2, 3] * 25
    table = contents(Shards(per_client=1).split(labeled(labels), 4, seed=0), labels)
    assert sorted(table) == [[0, 0, 0, 25], [0, 0, 25, 0], [0, 25, 0, 0], [25, 0, 0, 0]]
    assert table != sorted(table, reverse=True), "the shards are dealt at random"


def test_shards_of_a_class_are_random() -> None:
    """Not the first and the last files of it."""
    parts = Shards(per_client=1).split(labeled([0] * 200), 2, seed=0)
    assert abs(float(parts[0].double().mean()) - 99.5) < 15
