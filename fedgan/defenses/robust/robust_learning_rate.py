"""The robust learning rate (Ozdayi, Kantarcioglu, Gel 2021): where clients disagree on a sign, the step is turned."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

import torch
from annotated_types import Interval
from torch import Tensor

from fedgan.core.arguments import Allowed, Count, component, validated
from fedgan.core.checks import check
from fedgan.core.round import Round
from fedgan.core.update import ClientUpdate
from fedgan.defenses.base import Aggregate
from fedgan.defenses.robust.coordinates import plain_mean
from fedgan.defenses.robust.rule import RobustRule


@component
class RobustLearningRate(RobustRule):
    """Each parameter takes the mean step where |sum_i sign(delta_i)| is at least a threshold, and ``flip`` times it
    elsewhere.

    Steps of a GAN are much like noise, so most coordinates are turned unless the threshold is low: watch ``turned``
    in receipts.csv. Buffers take the mean. No client has a weight, and each has one vote.

    Args:
        num_malicious: f, at least 1 and fewer than half of a round's clients.
        threshold: theta, from f + 1 to N - f; None for f + 1. Where no step is exactly 0, sums of signs are even
            exactly if N is, so a threshold that is not acts like the next one.
        flip: -1 goes against the mean where clients disagree (the paper); 0 stays where it was.
    """

    num_malicious: Count = 1
    threshold: Count | None = None
    flip: Literal[-1, 0] = -1

    def __post_init__(self) -> None:
        self.turned = 0.0

    def setup(self, *, num_clients: int, clients_per_round: int, rounds: int) -> None:
        """Refuse too few clients, and a threshold that honest clients cannot reach or malicious ones can."""
        super().setup(num_clients=num_clients, clients_per_round=clients_per_round, rounds=rounds)
        low, high = self.num_malicious + 1, clients_per_round - self.num_malicious
        words = Allowed(f"from f + 1 = {low} to N - f = {high}")
        validated("threshold", Annotated[int, Interval(ge=low, le=high), words] | None, self.threshold)

    def check_present(self, updates: Sequence[ClientUpdate]) -> None:
        """Refuse a round whose honest clients cannot reach the threshold."""
        super().check_present(updates)
        least = (self.threshold or 0) + self.num_malicious
        allowed = f"at least threshold + num_malicious = {least}"
        check(len(updates) >= least, "fl.min_clients", allowed, len(updates))

    def aggregate(self, updates: Sequence[ClientUpdate], weights: Mapping[int, float], round_: Round) -> Aggregate:
        """See ``Defense``."""
        states = [update.state for update in updates]
        mean, turned, total = plain_mean(states), 0, 0
        for name in sorted(round_.parameters):
            signs = sign_sums([state[name] for state in states], round_.reference[name])
            against = signs.abs() < (self.threshold or self.num_malicious + 1)
            start = round_.reference[name]
            mean[name] = torch.where(against, start + self.flip * (mean[name] - start), mean[name])
            turned, total = turned + int(against.sum()), total + against.numel()
        self.turned = turned / total
        return Aggregate(mean, weights=None)

    def receipt(self) -> Mapping[str, float]:
        """``turned``: the share of the parameters' coordinates that did not take the mean step."""
        return {"turned": self.turned}


def sign_sums(values: Sequence[Tensor], start: Tensor) -> Tensor:
    """sum_i sign(value_i - start) of each element.

    Example:
        >>> sign_sums([torch.tensor([1.0, 5.0]), torch.tensor([3.0, 7.0])], torch.tensor([2.0, 4.0]))
        tensor([0., 2.])
    """
    return torch.stack([(value - start).sign() for value in values]).sum(dim=0)
