"""CUSUM of clients' losses (Page 1954), two-sided: evidence that adds up over rounds, and weights that come back.

Arrays have the clients on their last axis; axes in front of it, such as federations of a simulation, go through as
they are.
"""

from collections.abc import Collection, Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

Values = NDArray[np.float64]  # (..., N)

CLIP = 8.0  # in spreads: no round counts for more
ROOM = 7.0  # above h, where sums end: a client that is like the others again is forgiven in (h + 7) / k rounds
TINY = 1e-12  # what losses and spreads are at least taken for: an attacker may report 0, and losses may be equal
# c_N: 1 over the median, over rounds, of median_i |r_i| for N independent standard normal losses (simulated).
_CONSISTENCY = {
    3: 2.773,
    4: 2.207,
    5: 1.987,
    6: 1.873,
    7: 1.793,
    8: 1.748,
    9: 1.706,
    10: 1.681,
    11: 1.657,
    12: 1.641,
    13: 1.626,
    14: 1.616,
    15: 1.603,
    16: 1.597,
}
_NORMAL_MAD = 1.4826  # c_N of very many clients


def offsets(losses: ArrayLike, logs: bool) -> Values:
    """r_i = y_i - median_j y_j of a round, y being the losses or their logarithms.

    Args:
        losses: one per client, (..., N).
        logs: whether logarithms are compared; losses are then taken for at least ``TINY``.

    Example:
        >>> offsets([1.0, 1.0, np.e, 1.0], logs=True)
        array([0., 0., 1., 0.])
    """
    y = np.asarray(losses, dtype=np.float64)
    if logs:
        y = np.log(np.maximum(y, TINY))
    apart: Values = y - np.median(y, axis=-1, keepdims=True)
    return apart


def consistency(num_clients: int) -> float:
    """c_N, which makes a standard deviation of ``round_scale``'s median over many rounds; at least three clients.

    Example:
        >>> consistency(4), round(consistency(64), 2)
        (2.207, 1.51)
    """
    return _CONSISTENCY.get(num_clients, _NORMAL_MAD * (1 + 1.15 / num_clients))


def round_scale(apart: Values) -> Values:
    """c_N median_i |r_i| of a round's offsets, (...); the median over rounds is the pooled spread."""
    scale: Values = consistency(apart.shape[-1]) * np.median(np.abs(apart), axis=-1)
    return scale


def standardized(apart: Values, spread: ArrayLike) -> Values:
    """z_i = r_i / spread, at most ``CLIP`` to either side.

    Example:
        >>> standardized(np.array([0.0, 0.2, -9.0]), 0.1)
        array([ 0.,  2., -8.])
    """
    z: Values = np.clip(apart / np.maximum(spread, TINY), -CLIP, CLIP)
    return z


def added(sums: Values, z: Values, k: float, h: float) -> Values:
    """One side's sums after a round: max(0, S + z - k), at most h + 7.

    Example:
        >>> added(np.array([0.0, 2.0, 4.0, 9.0]), np.array([4.0, 4.0, 1.0, 8.0]), k=2.0, h=3.0)
        array([ 2.,  4.,  3., 10.])
    """
    grown: Values = np.clip(sums + z - k, 0.0, h + ROOM)
    return grown


def suspects(evidence: Mapping[int, float], flagged: Collection[int], h: float) -> frozenset[int]:
    """Who is above h, or flagged before and not below h / 2 yet.

    Args:
        evidence: C_i, the larger of both sums, by client.
        flagged: who was before.
        h: the threshold.

    Example:
        >>> sorted(suspects({0: 0.0, 1: 3.0, 2: 6.0, 3: 0.0, 4: 2.0}, flagged={1, 4}, h=5.0))
        [1, 2]
    """
    return frozenset(i for i, c in evidence.items() if c > h or (i in flagged and c >= h / 2))


def reversible(evidence: float, h: float) -> float:
    """What a flagged client's weight is multiplied by: 2^-max(0, C - h), from 1 down to 1/128 where sums end.

    Example:
        >>> reversible(5.0, h=5.0), reversible(7.0, h=5.0), reversible(12.0, h=5.0)
        (1.0, 0.25, 0.0078125)
    """
    return float(2.0 ** -max(0.0, evidence - h))
