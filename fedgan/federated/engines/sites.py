"""Clients whose images are elsewhere: what a federation asks of the sites that have them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from fedgan.core.checks import check
from fedgan.core.images import Splits, no_images
from fedgan.core.words import inventory
from fedgan.federated.data import FEWEST, ClientCounts, FederatedData

NOTE = "the server has no images, and counts alone of those at the sites, which train on them"


@dataclass(frozen=True)
class SiteFacts:
    """What a site says of its images before the first round.

    Attributes:
        classes: the classes' names, in the order of their labels.
        channels: 1 for gray, 3 for RGB.
        image_size: height and width in pixels.
        counts: how many images of each class, in their order.
    """

    classes: tuple[str, ...]
    channels: int
    image_size: int
    counts: tuple[int, ...]


class Sites(Protocol):
    """The sites by client id; who is who is known to it alone.

    Attributes:
        settings: what the sites train with, as plain values.
    """

    settings: dict[str, Any]

    def facts(self) -> Sequence[SiteFacts]:
        """What each site has, in the order of the clients' ids.

        Raises:
            ValueError: in one line, if a site does not say.
        """

    def train(self, requests: Mapping[int, bytes], timeout: float | None) -> Mapping[int, bytes | str]:
        """Have these clients train at once.

        Args:
            requests: what each is sent.
            timeout: seconds to wait for the answers; None for as long as it takes.

        Returns:
            What each answered, or in a word why it failed; nothing of those that did not answer in time.
        """


def data_of(facts: Sequence[SiteFacts]) -> tuple[Splits, FederatedData]:
    """The data set without its images, and the clients with their counts.

    Raises:
        ValueError: in one line, if the sites' images differ in kind, or if a site has too few.

    Example:
        >>> site = SiteFacts(("normal", "pneumonia"), 1, 32, (8, 4))
        >>> splits, data = data_of([site, site])
        >>> splits.shape["image_size"], len(splits.train), data.table
        (32, 0, {'normal': [8, 8], 'pneumonia': [4, 4]})
        >>> print(splits.notes[0])
        the server has no images, and counts alone of those at the sites, which train on them: normal 16, pneumonia 8
    """
    first = facts[0]
    for i, own in enumerate(facts):
        check_same_kind(f"the site of client {i}", own, first)
        least = f"a folder with at least {FEWEST} images at the site of client {i}"
        check(sum(own.counts) >= FEWEST, "dataset", least, sum(own.counts))
    empty = no_images(first.classes, first.channels, first.image_size)
    clients = tuple(ClientCounts(dict(zip(own.classes, own.counts, strict=True))) for own in facts)
    data = FederatedData(clients, frozenset(), None, ())
    totals = inventory({name: sum(each) for name, each in data.table.items()})
    return Splits("sites", empty, empty, notes=(f"{NOTE}: {totals}",)), data


def check_same_kind(place: str, own: SiteFacts, expected: SiteFacts) -> None:
    """Refuse images of other classes, channels or size than expected.

    Raises:
        ValueError: in one line.
    """
    said = [f"classes {list(each.classes)}, {each.channels} channels, {each.image_size} px" for each in (expected, own)]
    if said[0] != said[1]:
        raise ValueError(f"dataset: {place} must have {said[0]}; got {said[1]}")


def check_unchanged(recorded: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Refuse to resume a run at sites that do not say of their images what they said at its start.

    Args:
        recorded: the run's run.json: of it ``partition`` (by class, how many images each client has) and ``dataset``.
        now: the same facts today.

    Raises:
        ValueError: in one line, naming the first site that differs.
    """
    for i, (before, said) in enumerate(zip(_by_site(recorded), _by_site(now), strict=True)):
        check(before == said, f"resume: the site of client {i}", f"as at the run's start, with {before}", said)


def _by_site(facts: Mapping[str, Any]) -> list[str]:
    """What each site has, in words."""
    table, size, channels = facts["partition"], facts["dataset"]["image_size"], facts["dataset"]["channels"]
    counts = [dict(zip(table, each, strict=True)) for each in zip(*table.values(), strict=True)]
    return [f"{inventory(each)}; {size} px, {channels} channels" for each in counts]
