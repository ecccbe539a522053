"""Bucketing (Karimireddy, He, Jaggi 2022): clients in random buckets, of which the rule after it sees the means."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated

import torch
from annotated_types import Ge

from fedgan.core.arguments import component
from fedgan.core.round import Round
from fedgan.core.update import ClientUpdate
from fedgan.defenses.robust.coordinates import plain_mean
from fedgan.defenses.robust.rule import Condition, RobustRule


@component
class Bucketing(RobustRule):
    """Each client's state becomes the mean of its bucket's states, buckets drawn anew in each round.

    Means differ less than clients do, so rules for clients that are alike work on them; list it before the rule. A
    malicious client spoils its whole bucket: the rule after it has to tolerate ``size`` times as many. Without another
    rule and with equal weights the aggregate is the mean as before. Where the number of clients is no multiple of
    ``size``, one bucket is smaller. All of a bucket have the same say in its mean.

    Args:
        size: s, clients per bucket, at least 2 (the paper: 2).
    """

    size: Annotated[int, Ge(2)] = 2

    def __post_init__(self) -> None:
        self.condition = Condition(2 * self.size, 1)  # three buckets, of which one is spoiled

    def filter(self, updates: Sequence[ClientUpdate], round_: Round) -> Sequence[ClientUpdate]:
        """See ``Defense``."""
        order = torch.randperm(len(updates), generator=round_.rng("defense", "bucketing")).tolist()
        means = {}
        for bucket in (order[begin : begin + self.size] for begin in range(0, len(order), self.size)):
            mean = plain_mean([updates[i].state for i in bucket])
            means.update(dict.fromkeys(bucket, mean))
        return [replace(update, state=means[i]) for i, update in enumerate(updates)]
