"""Training and test images of a listing, and what is reported of them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fedgan.core.checks import check
from fedgan.core.images import check_images
from fedgan.datasets.reading.classes import listed
from fedgan.datasets.reading.listing import DRAWN, Listing
from fedgan.datasets.reading.splitting import Mask, Numbers, draw, first_with_same, parted, units


@dataclass(frozen=True)
class Division:
    """How images are divided; the attributes are ``ImageFolder``'s arguments.

    Attributes:
        pool: ``pool_splits``.
        share: ``test_share``.
        per_class: ``test_per_class``.
        seed: ``seed``.
    """

    pool: bool
    share: float
    per_class: int | None
    seed: int


@dataclass(frozen=True)
class Parts:
    """Which images train and which test.

    Attributes:
        train: their places, ascending: int64, (n,).
        test: likewise.
        left_out: how many images are in neither, by the reason.
        notes: what the user should know; a sentence each.
    """

    train: Numbers
    test: Numbers
    left_out: dict[str, int]
    notes: list[str]


def divide(listing: Listing, copies: Numbers, how: Division) -> Parts:
    """Divide the images of a listing.

    Args:
        listing: in the order of the images.
        copies: for each image the place of the first one with the same pixels: (N,).
        how: the settings.

    Raises:
        ValueError: in one line, if a class has too few images or would have none left.
    """
    entries, classes = listing.entries, listing.classes
    labels = np.array([entry.label for entry in entries])
    groups = first_with_same(entry.group for entry in entries)
    unit_of, drawn = units(copies, groups), entries[0].split == DRAWN
    if drawn:
        wanted = [_share(how.share, int((labels == label).sum()), name) for label, name in enumerate(classes)]
        is_test = draw(labels, classes, unit_of, wanted, how.seed)
        _check_drawn(labels, classes, unit_of, is_test, how.share)
        notes = [_drawn_note(int(is_test.sum()), sum(wanted), how.share, grouped=any(entry.group for entry in entries))]
    else:
        is_test, notes = np.array([entry.split == "test" for entry in entries]), []
    left_out = dict[str, int]()
    train = np.arange(len(entries))
    if not how.pool:
        train, left_out = train_apart(copies, unit_of, is_test)
        refuse_emptied(labels, classes, ~is_test, train, "dataset.root", "; dataset.pool_splits=true trains on them")
    test = is_test.nonzero()[0]
    if how.per_class is not None:
        chosen = _balanced(labels[test], classes, how.per_class, how.seed)
        left_out |= {} if how.pool else _counted("test images beyond dataset.test_per_class", len(test) - len(chosen))
        test = test[chosen]
    return Parts(train, test, left_out, [*notes, *copies_note(copies, train, test)])


def train_apart(copies: Numbers, unit_of: Numbers, is_test: Mask) -> tuple[Numbers, dict[str, int]]:
    """The training images that belong to no test image's unit, and how many others there are, by the reason.

    Args:
        copies: as in ``divide``.
        unit_of: as ``units`` returns it.
        is_test: which are test images, (N,).
    """
    shared, copied = parted(unit_of, is_test), parted(copies, is_test)
    return (~is_test & ~shared).nonzero()[0], {
        **_counted("training images that are copies of test images", int(copied.sum())),
        **_counted("training images of groups in the test set", int((shared & ~copied).sum())),
    }


def refuse_emptied(
    labels: Numbers, classes: Sequence[str], was_train: Mask, train: Numbers, source: str, remedy: str = ""
) -> None:
    """Refuse a class that had training images and has none left, under the name of the setting they came from."""
    before, after = (np.bincount(labels[places], minlength=len(classes)) for places in (was_train, train))
    emptied = [name for name, lost in zip(classes, (before > 0) & (after == 0), strict=True) if lost]
    if emptied:
        raise ValueError(
            f"{source}: all training images of {listed(emptied)} are copies of test images or of their groups, so that "
            f"none is left{remedy}"
        )


def copies_note(copies: Numbers, train: Numbers, test: Numbers) -> list[str]:
    """How many images are copies of others on their side."""
    twice = [len(side) - len(np.unique(copies[side])) for side in (train, test)]
    if not any(twice):
        return []
    return [f"{twice[0]:,} training and {twice[1]:,} test images are copies of others on their side, and stay"]


def _balanced(labels: Numbers, classes: Sequence[str], per_class: int, seed: int) -> Numbers:
    """Places of as many random test images of each class."""
    counts = {name: int((labels == label).sum()) for label, name in enumerate(classes)}
    check_images("dataset.test_per_class", per_class, counts, "test images of {name!r}")
    chosen: Numbers = draw(labels, classes, np.arange(len(labels)), [per_class] * len(classes), seed).nonzero()[0]
    return chosen


def _share(share: float, count: int, name: str) -> int:
    """``share`` of ``count`` images, leaving at least one on either side."""
    if count < 2:
        raise ValueError(f"dataset.root must hold at least 2 images of each class to be split; {name!r} has {count}")
    return min(max(round(share * count), 1), count - 1)


def _check_drawn(labels: Numbers, classes: Sequence[str], unit_of: Numbers, is_test: Mask, share: float) -> None:
    """Refuse a test set without images of some class, none of whose units was small enough."""
    for label, name in enumerate(classes):
        own = labels == label
        if (own & is_test).any():
            continue
        sizes, count = np.bincount(unit_of[own]), int(own.sum())
        smallest = int(sizes[sizes > 0].min())
        if smallest == count:
            one = f"all {count} images of {name!r} are of one group, or copies"
            raise ValueError(f"dataset.root must hold at least 2 groups of each class to be split; {one}")
        allowed = f"large enough for a whole group, which is at least {smallest} of the {count} images of {name!r}"
        check(False, "dataset.test_share", allowed, share)


def _drawn_note(count: int, wanted: int, share: float, grouped: bool) -> str:
    how = f"there is no test split: a share of {share:g} (dataset.test_share) was drawn for it"
    if not grouped:
        return f"{how}, image by image; dataset.group_pattern would keep the images of one patient on one side"
    short = f": {count:,} images, not {wanted:,}, since no group is cut" if count < wanted else ""
    return f"{how}, in whole groups{short}"


def _counted(reason: str, count: int) -> dict[str, int]:
    return {reason: count} if count else {}
