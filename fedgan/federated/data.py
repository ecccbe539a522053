"""Who the clients are: their shares of the images, and what the attacker did to some of them."""

from dataclasses import dataclass

import torch
from torch import Tensor

from fedgan.attacks.base import Attack, PoisonReport
from fedgan.core.checks import check, check_int
from fedgan.core.images import ImageSet, Splits, has_copy
from fedgan.core.rng import keyed_generator
from fedgan.core.trigger import Trigger
from fedgan.partitions.iid import partition_iid


@dataclass(frozen=True)
class FederatedData:
    """The clients' data before the first round.

    Attributes:
        data: each client's training images, by id; poisoned where it is malicious.
        malicious: ids of the malicious clients.
        trigger: what the attacker pastes; None where nothing is.
        receipts: one per malicious client.
    """

    data: tuple[ImageSet, ...]
    malicious: frozenset[int]
    trigger: Trigger | None
    receipts: tuple[PoisonReport, ...]


def share_out(images: ImageSet, attack: Attack, num_clients: int, seed: int) -> FederatedData:
    """Share the training images out (iid, equal parts), draw the malicious clients and poison theirs.

    Raises:
        ValueError: with fewer images than clients; if the attack does not fit the federation or the images; if
            it changed none of a malicious client's images.
    """
    check_int("fl.num_clients", num_clients, low=1)
    malicious = attack.choose_malicious(num_clients, seed)
    channels, image_size = images.images.shape[1], images.images.shape[-1]
    trigger = attack.trigger(channels, image_size, seed)
    shares = [images.subset(part) for part in partition_iid(len(images), num_clients, seed)]
    receipts = []
    for i in sorted(malicious):
        clean = shares[i]
        shares[i] = attack.poison(clean, trigger, keyed_generator(seed, "poison", i))
        receipts.append(_receipt(i, clean, shares[i], trigger))
    return FederatedData(tuple(shares), malicious, trigger, tuple(receipts))


def set_apart(splits: Splits, per_class: int, seed: int) -> tuple[ImageSet, ImageSet]:
    """Take the server's own images from the training images, before the clients share out the rest.

    No image of the server's equals one of the clients' or a test image (which may be among the training images too,
    as with ``pool_splits``).

    Args:
        splits: the data set.
        per_class: how many images of each class the server takes.
        seed: of the draw.

    Returns:
        The server's images, and those left to the clients.

    Raises:
        ValueError: if a class has too few.
    """
    if not per_class:
        return splits.train.subset(torch.empty(0, dtype=torch.int64)), splits.train
    free = ~has_copy(splits.train, splits.test)
    taken: list[Tensor] = []
    for label, name in enumerate(splits.classes):
        candidates = (free & (splits.train.labels == label)).nonzero().flatten()
        allowed = f"at most {len(candidates)}, the training images of class {name} that are no test images"
        check(per_class <= len(candidates), "defense.reconstruction.images_per_class", allowed, per_class)
        order = torch.randperm(len(candidates), generator=keyed_generator(seed, "server images", label))
        taken.append(candidates[order[:per_class]].sort().values)
    own = splits.train.subset(torch.cat(taken))
    left = ~has_copy(splits.train, own)
    return own, splits.train.subset(left.nonzero().flatten())


def _receipt(client: int, before: ImageSet, after: ImageSet, trigger: Trigger | None) -> PoisonReport:
    changed = int((before.images != after.images).flatten(1).any(dim=1).sum())
    if trigger is not None and not changed:
        raise ValueError(f"attack: changed none of the {len(after)} images of malicious client {client}")
    pixels = trigger.pattern[0].numel() if trigger is not None else 0
    area = before.images[0, 0].numel()
    return PoisonReport(client, changed, len(after), pixels, pixels / area, after.fingerprint)
