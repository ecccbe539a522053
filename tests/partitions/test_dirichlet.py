"""Classes in shares from a Dirichlet distribution."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from fedgan.partitions.dirichlet import Dirichlet, class_sizes, stratified
from tests.helpers.partitions import assert_whole, contents, labeled, same

steady = settings(derandomize=True, database=None, deadline=None, max_examples=60)
LABELS = [0] * 120 + [1] * 80


@steady
@given(
    counts=st.lists(st.integers(20, 60), min_size=1, max_size=5),
    clients=st.integers(1, 5),
    alpha=st.sampled_from([None, 0.3, 1.0, 100.0]),
    seed=st.integers(0, 2**63),
)
def test_disjoint_covering_large_enough_and_reproducible(
    counts: list[int], clients: int, alpha: float | None, seed: int
) -> None:
    labels = [label for label, count in enumerate(counts) for _ in range(count)]
    partition, images = Dirichlet(alpha=alpha, min_images=2), labeled(labels)
    parts = partition.split(images, clients, seed)
    assert_whole(parts, len(labels))
    assert min(map(len, parts)) >= 2
    assert same(parts, partition.split(images, clients, seed))


def test_seeds_differ() -> None:
    images = labeled(LABELS)
    assert not same(Dirichlet().split(images, 4, 0), Dirichlet().split(images, 4, 1))


@pytest.mark.parametrize("alpha", [0.1, 0.5, 5.0])
def test_shares_have_the_moments_of_the_distribution(alpha: float) -> None:
    """Against SciPy's: each of 5 clients' shares of a class of 10,000 has mean 1/5 and that variance."""
    tables = np.stack([class_sizes([10_000], 5, alpha, np.random.default_rng(seed))[0] for seed in range(1500)])
    shares, expected = tables / 10_000, stats.dirichlet([alpha] * 5)
    assert shares.mean(axis=0) == pytest.approx(expected.mean(), abs=5 * np.sqrt(expected.var().max() / 1500))
    assert shares.var() == pytest.approx(expected.var()[0], rel=0.1)


def test_a_small_alpha_leaves_clients_without_a_class_and_a_large_one_does_not() -> None:
    def lacking(alpha: float) -> int:
        parts = [Dirichlet(alpha=alpha, min_images=2).split(labeled(LABELS), 4, seed) for seed in range(20)]
        return sum(0 in client for each in parts for client in contents(each, LABELS))

    assert lacking(0.1) > 20
    assert lacking(100.0) == 0


def test_an_infinite_alpha_gives_every_class_in_equal_parts() -> None:
    """5 of one class and 3 of another over 4 clients: the odd ones go round, so that all have two."""
    labels = [0] * 5 + [1] * 3
    parts = Dirichlet(alpha=None, min_images=2).split(labeled(labels), 4, seed=0)
    assert contents(parts, labels) == [[2, 0], [1, 1], [1, 1], [1, 1]]
    assert stratified([6, 6, 6], 4).sum(axis=0).tolist() == [5, 5, 4, 4]


def test_classes_are_dealt_in_a_random_order() -> None:
    """Not as the files are sorted: the first client's images of a class are not its first ones."""
    parts = Dirichlet(alpha=None).split(labeled([0] * 400), 4, seed=0)
    assert parts[0].tolist() != list(range(100))
    assert abs(float(parts[0].double().mean()) - 199.5) < 40


def test_every_client_has_min_images_also_where_the_first_draw_does_not_give_them() -> None:
    images = labeled(LABELS)
    loose = [Dirichlet(alpha=0.3, min_images=2).split(images, 4, seed) for seed in range(10)]
    strict = [Dirichlet(alpha=0.3, min_images=30).split(images, 4, seed) for seed in range(10)]
    assert min(len(part) for parts in loose for part in parts) < 30
    assert min(len(part) for parts in strict for part in parts) >= 30


def test_what_cannot_be_given_is_refused_in_one_line() -> None:
    images = labeled(LABELS)
    said = "^alpha must be larger: in 50 tries .max_tries. some client always had fewer than min_images=49 images, at"
    with pytest.raises(ValueError, match=said) as error:
        Dirichlet(alpha=0.001, min_images=49, max_tries=50).split(images, 4, 0)
    assert "\n" not in str(error.value)
    with pytest.raises(ValueError, match="^min_images must be at most 50, the 200 training images over 4 cl.*; got 51"):
        Dirichlet(min_images=51).split(images, 4, 0)


def test_extreme_concentrations_give_numbers() -> None:
    """Some implementations return NaN below 0.01."""
    for alpha in (0.001, 1e6):
        sizes = class_sizes([50, 50], 64, alpha, np.random.default_rng(0))
        assert sizes.sum(axis=1).tolist() == [50, 50]
        assert sizes.min() >= 0


def test_labels_that_no_image_has_do_not_matter() -> None:
    parts = Dirichlet(min_images=2).split(labeled([0, 3] * 30), 3, seed=0)
    assert_whole(parts, 60)


def test_as_flower_shares_out() -> None:
    """The same distribution of sizes as Flower Datasets', where that is installed."""
    datasets = pytest.importorskip("datasets")
    partitioners = pytest.importorskip("flwr_datasets.partitioner")
    labels = [0] * 300 + [1] * 300
    theirs = []
    for seed in range(30):
        partitioner = partitioners.DirichletPartitioner(4, "label", 0.5, min_partition_size=10, seed=seed)
        partitioner.dataset = datasets.Dataset.from_dict({"label": labels})
        theirs += [len(partitioner.load_partition(i)) for i in range(4)]
    mine = [len(part) for seed in range(30) for part in Dirichlet(alpha=0.5).split(labeled(labels), 4, seed)]
    assert stats.ks_2samp(mine, theirs).pvalue > 0.01
