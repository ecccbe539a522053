"""Buckets that are drawn anew, of which each client carries the mean."""

import numpy as np
import pytest
import torch

from fedgan.defenses.robust.bucketing import Bucketing
from fedgan.defenses.robust.median import Median
from fedgan.federated.server import Server
from fedgan.federated.weighting import Uniform
from tests.helpers.rules import parameters_of, round_of, updates_of

POWERS = 2.0 ** np.arange(7)[:, None]  # sums of them say who is in a bucket


def buckets(size: int, count: int, index: int = 0) -> list[frozenset[int]]:
    """Each client's bucket, from the sum of the powers in it; its mean is of ``size`` clients or of what is left."""
    updates = updates_of(POWERS[:count])
    found = []
    for update in Bucketing(size=size).filter(updates, round_of(count, 1, index=index)):
        mean = parameters_of(update.state).item()
        totals = [mean * n for n in range(1, size + 1) if (mean * n).is_integer()]
        bits = [frozenset(i for i in range(count) if int(t) >> i & 1) for t in totals]
        found.append(next(b for b, t in zip(bits, totals, strict=True) if t == mean * len(b)))
    return found


@pytest.mark.parametrize(("size", "count", "sizes"), [(2, 6, {2: 6}), (2, 7, {2: 6, 1: 1}), (3, 7, {3: 6, 1: 1})])
def test_each_client_carries_its_buckets_mean(size: int, count: int, sizes: dict[int, int]) -> None:
    found = buckets(size, count)
    assert all(i in bucket for i, bucket in enumerate(found))
    assert {n: sum(len(bucket) == n for bucket in found) for n in sizes} == sizes
    assert all(found[j] == bucket for bucket in found for j in bucket)


def test_buckets_are_drawn_anew_in_each_round() -> None:
    assert len({tuple(buckets(2, 6, index=t)) for t in range(12)}) > 6
    assert buckets(2, 6, index=3) == buckets(2, 6, index=3)


def test_ids_images_and_the_given_states_stay() -> None:
    updates = updates_of(POWERS[:6], counts=[0, 0, 0, 0, 0, 6], variances=[1, 1, 1, 1, 1, 3])
    new = Bucketing(size=2).filter(updates, round_of(6, 1))
    assert [(u.client_id, u.num_examples) for u in new] == [(u.client_id, u.num_examples) for u in updates]
    assert [parameters_of(u.state).item() for u in updates] == POWERS[:6, 0].tolist()
    assert sorted(u.state["noise_const"].item() for u in new) == [1, 1, 1, 1, 2, 2]
    assert sorted(u.state["num_batches_tracked"].item() for u in new) == [0, 0, 0, 0, 3, 3]


def test_a_rule_after_it_sees_the_means() -> None:
    """The median of buckets' means; and the mean of these means is the clients' mean."""
    updates = updates_of(POWERS[:6])
    means = [parameters_of(u.state).item() for u in Bucketing().filter(updates, round_of(6, 1))]
    both = Server({"bucketing": Bucketing(), "median": Median()}, Uniform()).serve(updates, round_of(6, 1))[0]
    assert parameters_of(both).item() == np.median(means)
    alone = Server({"bucketing": Bucketing()}, Uniform()).serve(updates, round_of(6, 1))[0]
    torch.testing.assert_close(parameters_of(alone).item(), float(POWERS[:6].mean()))
