"""Which images are test images, so that no patient's image and no copy of one lies on both sides."""

import zlib
from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from fedgan.core.rng import keyed_generator

Numbers = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


def first_with_same(values: Iterable[Hashable]) -> Numbers:
    """For each value the place of the first one that equals it; None equals nothing.

    Example:
        >>> first_with_same(["x", None, "x", None]).tolist()
        [0, 1, 0, 3]
    """
    seen: dict[Hashable, int] = {}
    return np.array([i if value is None else seen.setdefault(value, i) for i, value in enumerate(values)], np.int64)


def first_copies(*parts: Tensor) -> Numbers:
    """For each image, counted through all parts, the place of the first one with the same pixels: int64, (N,).

    Args:
        parts: images, each (n, ...) and of one shape.
    """
    images = [np.ascontiguousarray(image) for part in parts for image in part.numpy()]
    sums = [zlib.crc32(image.data) for image in images]
    often = Counter(sums)
    # Bytes are compared only where sums agree, which in a set without copies happens about never.
    return first_with_same(image.tobytes() if often[crc] > 1 else crc for image, crc in zip(images, sums, strict=True))


def units(*same: Numbers) -> Numbers:
    """The number of each image's unit: images that any of the relations connects, also through others.

    Args:
        same: for each relation and image the place of the first image that it is the same as.

    Example:
        >>> units(np.array([0, 1, 1, 3]), np.array([0, 0, 2, 3])).tolist()
        [0, 0, 0, 1]
    """
    alone = np.arange(len(same[0]))
    relations = [one for one in same if (one != alone).any()]
    if len(relations) < 2:  # nothing to connect; and SciPy takes its time to be imported
        return relations[0] if relations else alone
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    rows, columns = np.tile(alone, len(relations)), np.concatenate(relations)
    graph = coo_array((np.ones(len(rows), np.int8), (rows, columns)), shape=(len(alone), len(alone)))
    numbers: Numbers = connected_components(graph, directed=False)[1].astype(np.int64)
    return numbers


def draw(labels: Numbers, classes: Sequence[str], unit_of: Numbers, wanted: Sequence[int], seed: int) -> Mask:
    """Random images of each class, whole units of them: bool, (N,).

    In each class the images are walked through in a random order, and a unit is taken if it fits into what is still
    wanted of every class that it has images of. Where each image is a unit of its own, these are the first images
    of the order, exactly as many as wanted; else there may be fewer.

    Args:
        labels: (N,).
        classes: their names.
        unit_of: as ``units`` returns it.
        wanted: how many images of each class.
        seed: of the order.
    """
    shared = np.bincount(unit_of)[unit_of] > 1
    contents: dict[int, Counter[int]] = {}  # images by class, of units of several images
    for unit, label in zip(unit_of[shared].tolist(), labels[shared].tolist(), strict=True):
        contents.setdefault(unit, Counter())[label] += 1
    room, taken = list(wanted), set[int]()
    for label, name in enumerate(classes):
        members = (labels == label).nonzero()[0]
        order = torch.randperm(len(members), generator=keyed_generator(seed, "test images", name)).numpy()
        for unit in unit_of[members[order]].tolist():
            if not room[label]:
                break
            needs = contents.get(unit, {label: 1})
            if unit not in taken and all(count <= room[own] for own, count in needs.items()):
                taken.add(unit)
                for own, count in needs.items():
                    room[own] -= count
    return np.isin(unit_of, list(taken))


def parted(unit_of: Numbers, is_test: Mask) -> Mask:
    """Which images are no test images although one of their unit is: bool, (N,)."""
    shared: npt.NDArray[Any] = np.isin(unit_of, unit_of[is_test])
    return shared & ~is_test
