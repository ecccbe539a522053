"""Who the clients are: their shares of the images, and what the attacker did to some of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from fedgan.attacks.base import Attack, PoisonReport
from fedgan.core.added_loss import AddedLoss
from fedgan.core.checks import placed
from fedgan.core.images import ImageSet, Splits, check_images, has_copy
from fedgan.core.rng import keyed_generator
from fedgan.core.trigger import Trigger
from fedgan.core.window import Window
from fedgan.federated.contracts import check_changed, check_parts
from fedgan.partitions.base import Partition

FEWEST = 2  # images of a client: batch statistics of a single one say nothing


@dataclass(frozen=True)
class ClientData:
    """One client's training images, clean and, for a malicious client, poisoned.

    Attributes:
        clean: as the partition dealt and changed them.
        poisoned: as the attacker leaves them; None for a benign client.
        window: the rounds in which a malicious client trains on the poisoned ones.
        added_losses: what a malicious client's generator learns besides, and in which rounds; by the setting that adds
            it, ``attack`` or ``update_attack``.
    """

    clean: ImageSet
    poisoned: ImageSet | None = None
    window: Window = field(default_factory=Window)
    added_losses: Mapping[str, tuple[Window, AddedLoss]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.clean)

    @property
    def counts(self) -> Mapping[str, int]:
        """How many images of each class it has."""
        return self.clean.counts

    def at(self, round_: int) -> ImageSet:
        """What the client trains on in a round."""
        return self.poisoned if self.poisoned is not None and self.window.covers(round_) else self.clean

    def trained_on(self, rounds: int) -> list[ImageSet]:
        """What the client trains on in the first ``rounds`` rounds: its clean images, its poisoned ones, or both."""
        each = {id(images): images for images in map(self.at, range(rounds))}
        return list(each.values())

    def added_losses_at(self, round_: int) -> dict[str, AddedLoss]:
        """What the client's generator learns besides in a round."""
        return {name: loss for name, (window, loss) in self.added_losses.items() if window.covers(round_)}

    def to(self, device: torch.device) -> "ClientData":
        """The same on ``device``, still as bytes."""
        poisoned = None if self.poisoned is None else self.poisoned.to(device)
        return replace(self, clean=self.clean.to(device), poisoned=poisoned)


@dataclass(frozen=True)
class ClientCounts:
    """What is known of a client whose images are elsewhere.

    Attributes:
        counts: how many images of each class it has.

    Example:
        >>> len(ClientCounts({"normal": 3, "pneumonia": 2}))
        5
    """

    counts: Mapping[str, int]

    def __len__(self) -> int:
        return sum(self.counts.values())


@dataclass(frozen=True)
class FederatedData:
    """The clients' data before the first round.

    Attributes:
        clients: by id.
        malicious: ids of the malicious clients.
        trigger: what the attacker pastes; None where nothing is.
        reports: what was done to the images of each malicious client, by ascending id.
    """

    clients: tuple[ClientData | ClientCounts, ...]
    malicious: frozenset[int]
    trigger: Trigger | None
    reports: tuple[PoisonReport, ...]

    @property
    def table(self) -> dict[str, list[int]]:
        """How many images of each class each client has: by class name, one number per client."""
        counts = [client.counts for client in self.clients]
        return {name: [each[name] for each in counts] for name in counts[0]}

    def trained_on(self, rounds: int, own_images: ImageSet | None = None) -> list[ImageSet]:
        """What is trained on in the first ``rounds`` rounds, if every client takes part; none where it is elsewhere.

        Args:
            rounds: how many.
            own_images: those that the server trains on.
        """
        here = [client for client in self.clients if isinstance(client, ClientData)]
        own = [] if own_images is None else [own_images]
        return [images for client in here for images in client.trained_on(rounds)] + own

    def poisoned_images(self, client_id: int, round_: int) -> int:
        """How many of the images that a client trains on in a round the attacker has changed."""
        report = next((each for each in self.reports if each.client == client_id), None)
        client = self.clients[client_id] if client_id < len(self.clients) else None
        acts = isinstance(client, ClientData) and client.window.covers(round_)
        return report.images_changed if report is not None and acts else 0


def share_out(
    images: ImageSet, partition: Partition, attack: Attack, malicious: frozenset[int], num_clients: int, seed: int
) -> FederatedData:
    """Deal the training images out, and poison those of the malicious clients.

    Raises:
        ValueError: if there are too few images; if the attack does not fit them; if it changed none of a malicious
            client's.
    """
    channels, image_size = images.images.shape[1], images.images.shape[-1]
    with placed("attack"):
        attack.setup(images.classes, len(malicious))
    trigger = trigger_of(attack, channels, image_size, seed)
    shares = shares_of(images, partition, num_clients, seed)
    clients, reports = [ClientData(share) for share in shares], []
    for rank, i in enumerate(sorted(malicious)) if attack.acts else ():
        clients[i], report = corrupted(i, shares[i], attack, trigger, rank, seed)
        reports += [] if report is None else [report]
    return FederatedData(tuple(clients), malicious, trigger, tuple(reports))


def corrupted(
    client_id: int, share: ImageSet, attack: Attack, trigger: Trigger | None, rank: int, seed: int
) -> tuple[ClientData, PoisonReport | None]:
    """What a malicious client trains with, and what was done to its images; None where they stay as they are.

    Args:
        client_id: which client it is.
        share: its images.
        attack: one that acts.
        trigger: the whole; see ``trigger_of``.
        rank: of the client among the malicious ones; see ``Attack.part``.
        seed: the run's.

    Raises:
        ValueError: in one line, if the attack changed none of its images.
    """
    poisoned, report = None, None
    if attack.poisons:
        poisoned = attack.poison(share, attack.part(trigger, rank), keyed_generator(seed, "poison", client_id))
        report = _report(client_id, share, poisoned)
    loss = attack.added_loss(trigger)
    added = {} if loss is None else {"attack": (attack.window, loss)}
    return ClientData(share, poisoned, attack.window, added), report


def shares_of(images: ImageSet, partition: Partition, num_clients: int, seed: int) -> list[ImageSet]:
    """Each client's images, before anybody attacks; who belongs together does not matter any more.

    Raises:
        ValueError: in one line, if there are too few images, or if the partition breaks its contract.
    """
    with placed("partition"):
        parts = partition.split(images, num_clients, seed)
    check_parts(parts, num_clients, len(images))
    alone = replace(images, groups=None, hospitals=None)
    dealt = [alone.subset(part) for part in parts]
    check_enough(dealt)
    streams = [keyed_generator(seed, "partition", "change", i) for i in range(num_clients)]
    shares = [partition.change(share, i, num_clients, streams[i]) for i, share in enumerate(dealt)]
    check_changed(shares, dealt)
    return shares


def trigger_of(attack: Attack, channels: int, image_size: int, seed: int) -> Trigger | None:
    """What the attack pastes into such images; see ``Attack.trigger``.

    Raises:
        ValueError: in one line, under ``attack``, if it does not fit them.
    """
    with placed("attack"):
        return attack.trigger(channels, image_size, seed)


def check_enough(shares: Sequence[ImageSet]) -> None:
    """Refuse a partition that leaves a client with too few images to train on.

    Raises:
        ValueError: in one line.
    """
    fewest = min(range(len(shares)), key=lambda i: len(shares[i]))
    allowed = f"one that gives every client at least {FEWEST} images (fewer clients, or more images)"
    if len(shares[fewest]) < FEWEST:
        raise ValueError(f"partition must be {allowed}; client {fewest} has {len(shares[fewest])}")


def set_apart(
    splits: Splits, per_class: int, seed: int, setting: str = "images_per_class"
) -> tuple[ImageSet, ImageSet]:
    """Take the server's own images from the training images, before the clients share out the rest.

    No image of the server's equals one of the clients' or a test image (which may be among the training images too,
    as with ``pool_splits``).

    Args:
        splits: the data set.
        per_class: how many images of each class the server takes.
        seed: of the draw.
        setting: what an error calls ``per_class``.

    Returns:
        The server's images, and those left to the clients.

    Raises:
        ValueError: if a class has too few.
    """
    if not per_class:
        return splits.train.subset(torch.empty(0, dtype=torch.int64)), splits.train
    free = ~has_copy(splits.train, splits.test)
    counts = {name: int((free & (splits.train.labels == i)).sum()) for i, name in enumerate(splits.classes)}
    check_images(setting, per_class, counts, "training images of class {name} that are not also test images")
    taken: list[Tensor] = []
    for label in range(len(splits.classes)):
        candidates = (free & (splits.train.labels == label)).nonzero().flatten()
        order = torch.randperm(len(candidates), generator=keyed_generator(seed, "server images", label))
        taken.append(candidates[order[:per_class]].sort().values)
    own = splits.train.subset(torch.cat(taken))
    left = ~has_copy(splits.train, own)
    return own, splits.train.subset(left.nonzero().flatten())


def _report(client: int, before: ImageSet, after: ImageSet) -> PoisonReport:
    pixels, labels = (before.images != after.images).any(dim=1), before.labels != after.labels  # (N, H, W), (N,)
    repainted = pixels.flatten(1).any(dim=1)
    changed = int((repainted | labels).sum())
    if not changed:
        raise ValueError(f"attack: changed none of the {len(after)} images of malicious client {client}")
    moved = (after.images[repainted].double() - before.images[repainted]).abs()
    return PoisonReport(
        client=client,
        images_changed=changed,
        num_examples=len(after),
        labels_changed=int(labels.sum()),
        share_changed=float(pixels[repainted].double().mean()) if len(moved) else 0.0,
        mean_change=float(moved.mean()) if len(moved) else 0.0,
        sha256=after.fingerprint,
    )
