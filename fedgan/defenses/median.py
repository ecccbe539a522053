"""The coordinate median in place of the mean (Yin et al. 2018, Definition 1)."""

from collections.abc import Mapping, Sequence

import torch

from fedgan.core.round import Round
from fedgan.core.update import ClientUpdate, weighted_mean
from fedgan.defenses.base import Aggregate, Defense


class Median(Defense):
    """Each coordinate becomes the median of the clients' values, of floating-point buffers too.

    With an even number of clients that is the mean of the two middle values (``torch.median`` takes the lower one).
    Whole-number buffers take the weighted mean, rounded. No client has a weight: clients.csv leaves it empty.
    """

    def aggregate(self, updates: Sequence[ClientUpdate], weights: Mapping[int, float], round_: Round) -> Aggregate:
        """See ``Defense``."""
        states = [update.state for update in updates]
        state = weighted_mean(states, [weights[update.client_id] for update in updates])
        for name in (name for name, tensor in state.items() if tensor.is_floating_point()):
            ordered = torch.stack([each[name] for each in states]).sort(dim=0).values
            lower, upper = ordered[(len(states) - 1) // 2], ordered[len(states) // 2]
            state[name] = torch.lerp(lower, upper, 0.5)
        return Aggregate(state, weights=None)
