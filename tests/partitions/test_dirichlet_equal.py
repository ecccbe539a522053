"""Equal sizes, unequal mixes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from fedgan.partitions.dirichlet_equal import DirichletEqual, filled, taken, wishes
from tests.helpers.partitions import assert_whole, contents, labeled, same

steady = settings(derandomize=True, database=None, deadline=None, max_examples=60)


@steady
@given(
    counts=st.lists(st.integers(1, 60), min_size=1, max_size=5),
    clients=st.integers(1, 6),
    alpha=st.sampled_from([0.001, 0.5, 1e6]),
    seed=st.integers(0, 2**63),
)
def test_disjoint_covering_even_and_reproducible(counts: list[int], clients: int, alpha: float, seed: int) -> None:
    labels = [label for label, count in enumerate(counts) for _ in range(count)]
    images, partition = labeled(labels), DirichletEqual(alpha=alpha)
    if len(labels) < clients:
        with pytest.raises(
            ValueError, match=rf"^fl\.num_clients must be at most {len(labels)}, the number of training images"
        ):
            partition.split(images, clients, seed)
        return
    parts = partition.split(images, clients, seed)
    assert_whole(parts, len(labels))
    assert {len(part) for part in parts} <= {len(labels) // clients, len(labels) // clients + 1}
    assert same(parts, partition.split(images, clients, seed))


def test_a_client_that_finds_a_class_empty_takes_of_the_others_by_hand() -> None:
    """Client 0 takes both images of a; client 1 wants 3 of a and 1 of b, has the one left and 3 of b."""
    table = filled(np.array([3, 3]), np.array([[1.0, 0.0], [0.75, 0.25]]), [2, 4], [0, 1])
    assert table.tolist() == [[2, 1], [0, 3]]
    assert taken(np.array([1, 2, 4]), np.array([1.0, 0.0, 0.0]), 4).tolist() == [1, 1, 2], "the rest as it is there"
    assert taken(np.array([9, 9, 9]), np.array([0.5, 0.3, 0.2]), 10).tolist() == [5, 3, 2]
    assert taken(np.array([2, 9, 9]), np.array([0.5, 0.3, 0.2]), 10).tolist() == [2, 5, 3], "5 missing: 3 of 8 are .6"


def test_mixes_have_the_moments_of_the_distribution() -> None:
    """q ~ Dir(alpha p) with alpha = 2 and p = 3/4, 1/4, whose mean and variance SciPy knows."""
    counts = np.array([3000, 1000])
    shares = np.array([taken(counts, mix, 500) for mix in wishes(counts, 1000, 2.0, np.random.default_rng(0))]) / 500
    expected = stats.dirichlet([1.5, 0.5])
    assert shares.mean(axis=0) == pytest.approx(expected.mean(), abs=0.03)
    assert shares.var(axis=0) == pytest.approx(expected.var(), rel=0.15)


def test_a_small_alpha_gives_one_class_a_large_one_the_shares_of_the_whole() -> None:
    labels = [0] * 300 + [1] * 100
    pure = contents(DirichletEqual(alpha=0.001).split(labeled(labels), 4, seed=0), labels)
    assert sorted(pure) == [[0, 100], [100, 0], [100, 0], [100, 0]]
    mixed = contents(DirichletEqual(alpha=1e6).split(labeled(labels), 4, seed=0), labels)
    assert all(abs(client[0] - 75) <= 2 for client in mixed)


def test_who_chooses_last_is_drawn() -> None:
    """The last to choose has what is left, which is most often the smaller class; no id is always the one."""
    labels = [0] * 150 + [1] * 50
    lasts = {
        contents(DirichletEqual(alpha=0.001).split(labeled(labels), 4, seed), labels).index([0, 50])
        for seed in range(20)
    }
    assert lasts == {0, 1, 2, 3}
