"""FedDetect with a test in place of the forest: outliers at a level that is set, and weights that may come back."""

from collections.abc import Mapping, Sequence
from math import sqrt
from typing import Annotated, Any, Literal

import numpy as np
from annotated_types import Interval
from scipy.special import stdtrit

from fedgan.core.arguments import Fraction, NonNegative, Probability, component
from fedgan.core.round import Round
from fedgan.core.update import ClientUpdate, normalize
from fedgan.defenses._detector import LossDetector, Samples, with_loss
from fedgan.defenses.base import Decision
from fedgan.defenses.calibration import LossName
from fedgan.gan.recipe import Recipe

LEAST_WEIGHT = 1e-200  # a round of only zeros has no mean
Side = Literal["high", "both"]


@component
class FedDetectGrubbs(LossDetector):
    """Algorithm 1 with the generalized ESD test (Rosner 1983) for the isolation forest; Grubbs's with up to four.

    A forest on one number per client flags somebody in two rounds of three when nobody attacks; a test does so at a
    level that is set. It takes honest losses of a round for draws from one normal distribution: a client whose loss
    differs for good is an outlier in every round.

    Args:
        warmup: m; detection starts in the first round t > m, t counted from 0.
        alpha: the level, in (0, 0.5): how often a round without outliers has one. Where several may be flagged
            (N >= 5) the tests together reach up to twice of it.
        decay: d in (0, 1); a client that was flagged c times has d^(c (c + 1) / 2) of its weight: what Algorithm 1's
            factors d, d^2, ... d^c multiply to.
        recover: whether c falls by one in a round in which the client takes part and is not flagged.
        min_weight: the share of its weight that a client keeps at least, in [0, 1).
        side: high: only losses above the mean may be outliers; both: either side.
        loss: which reported loss is read, by its name in clients.csv.
        samples: latents over which clients measure ``loss_g_final`` or ``loss_g_arrival``, if one of them is read.

    Raises:
        ValueError: in one line, if one is out of range.
    """

    warmup: NonNegative = 10
    alpha: Annotated[float, Interval(gt=0, lt=0.5)] = 0.01
    decay: Fraction = 0.9
    recover: bool = False
    min_weight: Probability = 0.0
    side: Side = "both"
    loss: LossName = "loss_g"
    samples: Samples = 256

    name = "feddetect_grubbs"

    def __post_init__(self) -> None:
        self.c: dict[int, int] = {}

    def adapt(self, recipe: Recipe) -> Recipe:
        """Have the clients measure the loss that is read, where they would not."""
        return with_loss(recipe, self.loss, self.samples)

    def reweight(self, updates: Sequence[ClientUpdate], weights: Mapping[int, float], round_: Round) -> Decision:
        """Lines 14 to 24 of Algorithm 1."""
        ids = [update.client_id for update in updates]
        losses = [update.metrics[self.loss] for update in updates]
        places = outliers(losses, self.alpha, self.side) if round_.index > self.warmup else []
        flagged = frozenset(ids[place] for place in places)
        for i in ids:
            c = self.c.get(i, 0)
            self.c[i] = c + 1 if i in flagged else max(0, c - self.recover)
        if not any(self.c[i] for i in ids):
            return Decision(weights, flagged)
        shares = [weights[i] * remaining(self.c[i], self.decay, self.min_weight) for i in ids]
        return Decision(dict(zip(ids, normalize(shares), strict=True)), flagged)

    def state_dict(self) -> dict[str, Any]:
        """Counters c_i."""
        return {"c": dict(self.c)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore them."""
        self.c = dict(state["c"])


def outliers(values: Sequence[float], alpha: float, side: Side = "both") -> list[int]:
    """The places of the outliers by the generalized ESD test, fewer than half of the values.

    The value farthest from the mean is taken away, floor((N - 1) / 2) times; the last of these steps whose distance,
    over the standard deviation of what was there, exceeds its critical value says how many are outliers. So outliers
    that hide each other are found together. Values that are all one have none.

    Args:
        values: finite; fewer than three have no outliers.
        alpha: of the test.
        side: high: distances above the mean alone.

    Example:
        >>> outliers([2.0, 2.05, 2.1, 9.0], alpha=0.01), outliers([2.0, 2.05, 2.1, 2.6], alpha=0.01)
        ([3], [])
    """
    left, taken, found = list(range(len(values))), list[int](), 0
    for _ in range((len(values) - 1) // 2):
        x = np.array([values[place] for place in left])
        deviation = x.std(ddof=1)
        if deviation <= 1e-12 * np.abs(x).max():
            break
        distances = (x - x.mean()) if side == "high" else np.abs(x - x.mean())
        farthest = int(distances.argmax())
        taken.append(left.pop(farthest))
        if distances[farthest] / deviation > critical_value(len(x), alpha, side):
            found = len(taken)
    return sorted(taken[:found])


def critical_value(count: int, alpha: float, side: Side = "both") -> float:
    """What Grubbs's statistic, max |x - mean| / s, exceeds with probability alpha, of normal values (Grubbs 1969).

    Args:
        count: of the values, at least three.
        alpha: the level.
        side: high: of max (x - mean) / s.

    Example:
        >>> round(critical_value(4, 0.01), 3), round(critical_value(8, 0.01), 3)
        (1.496, 2.274)
    """
    tails = count if side == "high" else 2 * count
    t = float(stdtrit(count - 2, 1 - alpha / tails))
    return (count - 1) / sqrt(count) * sqrt(t**2 / (count - 2 + t**2))


def remaining(c: int, decay: float, min_weight: float = 0.0) -> float:
    """What a client that was flagged c times keeps of its weight: d^1 d^2 ... d^c, at least ``min_weight``.

    Example:
        >>> [remaining(c, decay=0.5) for c in range(4)], remaining(3, decay=0.5, min_weight=0.1)
        ([1.0, 0.5, 0.125, 0.015625], 0.1)
    """
    return max(decay ** (c * (c + 1) // 2), min_weight, LEAST_WEIGHT)
