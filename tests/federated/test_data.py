import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fedgan.attacks.base import Attack
from fedgan.attacks.noise_patch import NoisePatch
from fedgan.attacks.patch_attack import PatchAttack
from fedgan.attacks.random_patch import RandomPatch
from fedgan.attacks.white_square import WhiteSquare
from fedgan.core.images import ImageSet, Splits
from fedgan.core.trigger import Trigger
from fedgan.core.window import Window
from fedgan.federated.data import ClientCounts, ClientData, FederatedData, set_apart, share_out
from fedgan.partitions.iid import IID, iid
from tests.helpers.images import random_images


def partition_iid(count: int, clients: int, seed: int) -> list[torch.Tensor]:
    return iid(count, clients, seed)


def shared(images: ImageSet, attack: Attack, malicious: set[int], seed: int = 0) -> FederatedData:
    return share_out(images, IID(), attack, frozenset(malicious), 4, seed)


@pytest.mark.parametrize(("count", "clients"), [(3297, 4), (5856, 4), (10, 3), (5, 5), (7, 1)])
def test_partition_is_disjoint_complete_even_and_reproducible(count: int, clients: int) -> None:
    parts = partition_iid(count, clients, seed=1)
    assert sorted(torch.cat(parts).tolist()) == list(range(count))
    sizes = [len(part) for part in parts]
    assert max(sizes) - min(sizes) <= 1
    assert all(torch.equal(a, b) for a, b in zip(parts, partition_iid(count, clients, seed=1), strict=True))
    if count > 100:
        assert not torch.equal(parts[0], partition_iid(count, clients, seed=2)[0])


@settings(derandomize=True, database=None, deadline=None)
@given(clients=st.integers(1, 40), more=st.integers(0, 500), seed=st.integers(0, 2**70))
def test_every_partition_is_disjoint_complete_of_the_stated_sizes_and_reproducible(
    clients: int, more: int, seed: int
) -> None:
    count = clients + more
    parts = partition_iid(count, clients, seed)
    assert sorted(torch.cat(parts).tolist()) == list(range(count))
    sizes = [len(part) for part in parts]
    assert set(sizes) <= {count // clients, count // clients + 1}
    assert sizes[0] == count // clients  # the last ones take the remainder, as in the paper
    assert all(bool((part.diff() > 0).all()) for part in parts)
    assert all(torch.equal(a, b) for a, b in zip(parts, partition_iid(count, clients, seed), strict=True))


def test_partition_of_the_papers_sizes() -> None:
    assert [len(part) for part in partition_iid(3297, 4, 0)] == [824, 824, 824, 825]
    assert [len(part) for part in partition_iid(5856, 4, 0)] == [1464] * 4


def test_fewer_images_than_clients() -> None:
    with pytest.raises(ValueError, match="fl.num_clients must be at most 3, the number of training images; got 4"):
        partition_iid(3, 4, 0)


def test_only_malicious_clients_are_poisoned_and_receipts_say_so() -> None:
    images = random_images(40)
    malicious = 2
    clean = shared(images, WhiteSquare(size=8), set(), seed=3)
    attacked = shared(images, WhiteSquare(size=8, margin=1), {malicious}, seed=3)
    for i in range(4):
        assert (attacked.clients[i].at(0).fingerprint == clean.clients[i].at(0).fingerprint) is (i != malicious)
    (receipt,) = attacked.reports
    assert (receipt.client, receipt.images_changed, receipt.num_examples) == (malicious, 10, 10)
    assert (receipt.labels_changed, receipt.share_changed) == (0, 64 / 1024)
    squares = clean.clients[malicious].at(0).images[:, :, 23:31, 23:31].double()
    assert receipt.mean_change == pytest.approx(float((255 - squares).mean()) / 16)
    assert receipt.sha256 == attacked.clients[malicious].at(0).fingerprint


def test_reports_are_by_ascending_id_and_count_what_was_changed_alone() -> None:
    """Of each client's five images the one that is white already stays as it was; 8 comes before 1 in a set of both."""
    images = ImageSet(torch.zeros(50, 1, 32, 32, dtype=torch.uint8), torch.arange(50) % 2, ("a", "b"))
    shares = IID().split(images, 10, seed=0)
    for share in shares:
        images.images[share[0]] = 255
    data = share_out(images, IID(), WhiteSquare(size=8), frozenset({8, 1}), 10, 0)
    assert [(r.client, r.images_changed, r.num_examples) for r in data.reports] == [(1, 4, 5), (8, 4, 5)]
    assert {type(r.images_changed) for r in data.reports} == {int}
    assert [data.poisoned_images(i, 0) for i in range(11)] == [0, 4, *[0] * 6, 4, 0, 0], "10 is the server's own"


def test_a_client_moves_with_all_it_has() -> None:
    """Also what it trains on in the rounds of the attack alone."""
    window = Window(start=1, stop=2)
    moved = ClientData(random_images(4), random_images(6, seed=1), window).to(torch.device("meta"))
    assert [len(moved.at(t)) for t in range(3)] == [4, 6, 4]
    assert {moved.at(t).images.device.type for t in range(3)} == {"meta"}
    assert ClientData(random_images(4)).to(torch.device("meta")).poisoned is None


def test_an_attack_may_change_labels_alone() -> None:
    class Flipping(Attack):
        """Turns the labels of a client's first three images around."""

        def poison(self, images: ImageSet, trigger: Trigger | None, rng: torch.Generator) -> ImageSet:
            labels = torch.cat([1 - images.labels[:3], images.labels[3:]])
            return ImageSet(images.images, labels, images.classes)

    (report,) = shared(random_images(40), Flipping(), {2}).reports
    assert (report.images_changed, report.num_examples, report.labels_changed) == (3, 10, 3)
    assert (report.share_changed, report.mean_change) == (0.0, 0.0)


def test_the_server_takes_as_many_of_each_class_as_it_asks_for() -> None:
    """Four images of class a, six of b, nine of c."""
    labels = torch.tensor([0] * 4 + [1] * 6 + [2] * 9)
    train = ImageSet(random_images(19).images, labels, ("a", "b", "c"))
    splits = Splits("noise", train, ImageSet(random_images(3, seed=1).images, torch.arange(3), train.classes))
    own, left = set_apart(splits, 4, seed=0)
    assert (own.counts, left.counts) == ({"a": 4, "b": 4, "c": 4}, {"a": 0, "b": 2, "c": 5})
    refused = "^defense.x.images_per_class must be at most 4, the training images of class a .*; got 5$"
    with pytest.raises(ValueError, match=refused):
        set_apart(splits, 5, 0, "defense.x.images_per_class")


def test_a_partition_that_leaves_too_few_is_refused_before_anybody_attacks() -> None:
    refused = "^partition must be one that gives every client at least 2 images .*; client 0 has 1$"
    with pytest.raises(ValueError, match=refused):
        shared(random_images(7), WhiteSquare(size=8), {1})
    shared(random_images(8), WhiteSquare(size=8), {1})


def test_the_control_knows_the_trigger_that_nobody_carries() -> None:
    control = shared(random_images(40), WhiteSquare(size=8), set())
    assert control.trigger is not None
    assert not control.malicious
    assert not control.reports
    assert shared(random_images(40), Attack(), set()).trigger is None


def test_an_attack_that_changes_nothing_fails() -> None:
    white = ImageSet(torch.full((40, 1, 32, 32), 255, dtype=torch.uint8), torch.arange(40) % 2, ("a", "b"))
    with pytest.raises(ValueError, match="attack: changed none of the 10 images of malicious client"):
        shared(white, WhiteSquare(size=8), {1})


@pytest.mark.parametrize(
    ("kind", "sha256"),
    [
        (WhiteSquare, "9feb6810f480d291f9dac02aa4a0ebce286a14e9f927cd72e9e5100f145a1dd2"),
        (RandomPatch, "439dace8784fda5667630ce587f51487dba9cc9f977f0812caba17c47ff3a2e1"),
        (NoisePatch, "ac0685f9b0bbaad8d7c04da65b101b09151680a53f0200ea33639d65591e3f9c"),
    ],
)
def test_poisoned_images_are_those_of_runs_before_there_were_other_triggers(
    kind: type[PatchAttack], sha256: str
) -> None:
    """Recorded when a trigger could be nothing but a patch: runs of that time can be repeated."""
    attack = kind(size=8, margin=1, poison_share=0.6)
    (report,) = share_out(random_images(40, channels=3), IID(), attack, frozenset({1}), 4, 7).reports
    assert report.sha256 == sha256


def test_what_was_trained_on_is_each_client_s_clean_or_poisoned_images_or_both() -> None:
    images, own = random_images(40), random_images(4, seed=1)
    always = shared(images, WhiteSquare(size=8), {2})
    later = shared(images, WhiteSquare(size=8, start=2), {2})
    poisoned, clean = always.clients[2].at(0), later.clients[2].at(0)
    assert poisoned.fingerprint != clean.fingerprint
    assert [each.fingerprint for each in always.clients[2].trained_on(3)] == [poisoned.fingerprint]
    assert [each.fingerprint for each in later.clients[2].trained_on(2)] == [clean.fingerprint]
    both = [clean.fingerprint, poisoned.fingerprint]
    assert [each.fingerprint for each in later.clients[2].trained_on(3)] == both
    assert sum(map(len, always.trained_on(3))) == 40
    assert sum(map(len, later.trained_on(3, own))) == 40 + 10 + 4
    assert FederatedData((ClientCounts({"a": 2}),), frozenset(), None, ()).trained_on(3) == []
