"""The paper's attack (Section 4.2.1): one and the same trigger on the malicious clients' training images."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor

from fedgan.attacks.base import Attack
from fedgan.core.checks import check, check_choice, check_int, check_number
from fedgan.core.images import ImageSet
from fedgan.core.rng import keyed_generator
from fedgan.core.trigger import Trigger

POSITIONS = ("bottom_right", "bottom_left", "top_right", "top_left", "center")


class TriggerAttack(Attack, ABC):
    """Pastes a trigger; what it looks like is the subclass's matter.

    Args:
        size: side of the square trigger, in pixels.
        margin: distance from the border, in pixels (the first code: 5 at 256 px); unused in the center.
        position: bottom_right, bottom_left, top_right, top_left or center.
        poison_share: share of a malicious client's images that get the trigger, in (0, 1]; the paper: 1.
        malicious: how many clients are malicious (drawn from the seed), or their ids. 0 or an empty list is the
            control: nobody attacks, yet the metrics look for the trigger.
    """

    def __init__(
        self,
        *,
        size: int,
        margin: int = 0,
        position: str = "bottom_right",
        poison_share: float = 1.0,
        malicious: int | Sequence[int] = 1,
    ) -> None:
        check_int("attack.size", size, low=1)
        check_int("attack.margin", margin, low=0)
        check_choice("attack.position", position, POSITIONS)
        check_number("attack.poison_share", poison_share, low=0.0, high=1.0, low_allowed=False)
        self.size, self.margin, self.position = size, margin, position
        self.poison_share = poison_share
        self.malicious = _number_or_ids(malicious)

    def __str__(self) -> str:
        """Such as ``white_square of 8 x 8 pixels at the bottom right``."""
        kind = type(self).__module__.rpartition(".")[2]
        place = "in the center" if self.position == "center" else f"at the {self.position.replace('_', ' ')}"
        return f"{kind} of {self.size} x {self.size} pixels {place}"

    @abstractmethod
    def pattern(self, channels: int, rng: torch.Generator) -> Tensor:
        """The trigger's pixels: uint8, (channels, size, size)."""

    def choose_malicious(self, num_clients: int, seed: int) -> frozenset[int]:
        """The ids asked for, or as many as asked for, drawn from the seed."""
        most = (num_clients - 1) // 2
        allowed = f"fewer than half of fl.num_clients={num_clients} (at most {most}), as a number or a list of ids"
        if isinstance(self.malicious, int):
            check(0 <= self.malicious <= most, "attack.malicious", allowed, self.malicious)
            order = torch.randperm(num_clients, generator=keyed_generator(seed, "malicious"))
            return frozenset(order[: self.malicious].tolist())
        ids = frozenset(self.malicious)
        known = len(ids) == len(self.malicious) and ids <= set(range(num_clients))
        check(known and len(ids) <= most, "attack.malicious", allowed, list(self.malicious))
        return ids

    def trigger(self, channels: int, image_size: int, seed: int) -> Trigger:
        """The trigger at its place in an image of ``image_size`` pixels a side."""
        room = image_size if self.position == "center" else image_size - self.margin
        check(
            self.size <= room,
            "attack.size",
            f"at most {room}, what dataset.image_size={image_size} leaves beside attack.margin={self.margin}",
            self.size,
        )
        near, far = self.margin, image_size - self.size - self.margin
        middle = (image_size - self.size) // 2
        vertical, _, horizontal = self.position.partition("_")
        return Trigger(
            self.pattern(channels, keyed_generator(seed, "trigger")),
            top={"top": near, "bottom": far}.get(vertical, middle),
            left={"left": near, "right": far}.get(horizontal, middle),
        )

    def poison(self, images: ImageSet, trigger: Trigger | None, rng: torch.Generator) -> ImageSet:
        """The images with the trigger on ``poison_share`` of them, drawn from ``rng``."""
        assert trigger is not None
        count = max(1, round(self.poison_share * len(images)))
        chosen = torch.randperm(len(images), generator=rng)[:count]
        poisoned = images.images.clone()
        poisoned[chosen] = trigger.paste(images.images[chosen])
        return ImageSet(poisoned, images.labels, images.classes)


def _number_or_ids(malicious: object) -> int | tuple[int, ...]:
    if isinstance(malicious, int) and not isinstance(malicious, bool):
        return malicious
    is_list = isinstance(malicious, Sequence) and all(type(i) is int for i in malicious)
    check(is_list, "attack.malicious", "a number of clients or a list of their ids", malicious)
    return tuple(malicious)  # type: ignore[arg-type]
