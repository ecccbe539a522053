"""DBA: parts that are disjoint and together the whole, handed out by rank."""

import pytest
import torch

from fedgan.attacks.distributed import Distributed
from fedgan.attacks.white_square import WhiteSquare
from fedgan.core.trigger import DividedPatch
from fedgan.federated.data import share_out
from fedgan.partitions.iid import IID
from tests.helpers.images import random_images


@pytest.mark.parametrize(
    ("size", "parts", "corners"),
    [
        (8, 4, [(0, 0), (0, 4), (4, 0), (4, 4)]),
        (8, 2, [(0, 0), (0, 4)]),
        (9, 3, [(0, 0), (0, 3), (0, 6)]),
        (5, 4, [(0, 0), (0, 2), (2, 0), (2, 2)]),
    ],
)
def test_parts_are_disjoint_and_their_union_is_the_square(
    size: int, parts: int, corners: list[tuple[int, int]]
) -> None:
    white = torch.full((1, size, size), 255, dtype=torch.uint8)
    cut = DividedPatch(white, top=0, left=0, count=parts).parts
    assert [(part.top, part.left) for part in cut] == corners
    black = torch.zeros((1, 1, 16, 16), dtype=torch.uint8)
    covered = sum((part.apply(black) == 255).int() for part in cut)
    assert isinstance(covered, torch.Tensor)
    assert covered[0, 0, :size, :size].unique().tolist() == [1], "each pixel once"
    assert int(covered.sum()) == size * size


@pytest.mark.parametrize("ids", [{0, 4, 8, 3}, {1, 5, 7, 9}])
def test_parts_go_by_rank_among_the_malicious_ids(ids: set[int]) -> None:
    """By id mod 4 the clients 0, 4 and 8 would all paste the first part, and others nobody."""
    images, attack = random_images(110), Distributed(size=8, parts=4, margin=0, position="top_left")
    data = share_out(images, IID(), attack, frozenset(ids), 11, 0)
    corners = []
    for i in sorted(ids):
        own, poisoned = data.clients[i].clean.images, data.clients[i].at(0).images
        changed = (own != poisoned).any(dim=1).any(dim=0).nonzero()
        corners.append(tuple(changed.amin(dim=0).tolist()))
        assert len(changed) == 16
    assert corners == [(0, 0), (0, 4), (4, 0), (4, 4)]
    assert isinstance(data.trigger, DividedPatch)
    whole = WhiteSquare(size=8, margin=0, position="top_left").trigger(1, 32, 0)
    assert torch.equal(data.trigger.apply(images.images), whole.apply(images.images)), "metrics look for the whole"


def test_with_more_clients_than_parts_they_begin_anew() -> None:
    data = share_out(random_images(70), IID(), Distributed(size=8, parts=2), frozenset({1, 2, 6}), 7, 0)
    assert [report.share_changed for report in data.reports] == [32 / 1024] * 3


@pytest.mark.parametrize(("malicious", "refused"), [(0, False), (1, True), (2, True), (3, False)])
def test_one_malicious_client_would_be_a_smaller_patch_and_is_refused(malicious: int, refused: bool) -> None:
    attack, ids = Distributed(size=9, parts=3), frozenset(range(malicious))
    if refused:
        words = f"^fl.malicious must be at least attack.parts=3 clients, or 0 for the control; got {malicious}$"
        with pytest.raises(ValueError, match=words):
            share_out(random_images(70), IID(), attack, ids, 7, 0)
    else:
        share_out(random_images(70), IID(), attack, ids, 7, 0)


def test_refusals_and_words() -> None:
    with pytest.raises(ValueError, match="^size must be at least parts=4; got 3$"):
        Distributed(size=3, parts=4)
    with pytest.raises(ValueError, match="^parts must be a whole number from 2 to 4; got 1$"):
        Distributed(size=3, parts=1)
    assert Distributed(size=2, parts=2).parts == 2, "a pixel's width each"
    assert str(Distributed(size=8, parts=2)) == "distributed of 8 x 8 pixels at the bottom right in 2 parts"
