"""A detector on losses that were recorded: who would have been flagged, and when."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fedgan.core.round import Round
from fedgan.core.update import ClientUpdate
from fedgan.defenses.base import Decision, Defense


def replay(defense: Defense, losses: Mapping[str, ArrayLike]) -> list[Decision]:
    """The decisions of a detector that reads losses alone, such as ``feddetect_cusum``, round by round.

    The losses are those of a federation in which it did not act: what it would have changed of the training, and so
    of later losses, is not in them.

    Args:
        defense: new, as it was built; ``setup`` is called here.
        losses: by name, as in clients.csv, (T, N); NaN for a client that did not take part.

    Returns:
        One decision per round; ``flagged`` has the clients, places in the second axis.

    Raises:
        ValueError: in one line, if the detector could not act in such a federation.

    Example:
        >>> from fedgan.defenses.feddetect_cusum import FedDetectCusum
        >>> rounds = [[2.0, 2.1, 1.9, 2.0 + 0.5 * t] for t in range(6)]
        >>> [sorted(each.flagged) for each in replay(FedDetectCusum(spread=0.1), {"loss_g": rounds})]
        [[], [], [], [], [3], [3]]
    """
    tables = {name: np.asarray(table, dtype=np.float64) for name, table in losses.items()}
    rounds, num_clients = next(iter(tables.values())).shape
    defense.setup(num_clients=num_clients, clients_per_round=num_clients, rounds=rounds)
    return [_decision(defense, {name: table[t] for name, table in tables.items()}, t) for t in range(rounds)]


def _decision(defense: Defense, losses: Mapping[str, NDArray[np.float64]], t: int) -> Decision:
    rows = np.stack(list(losses.values()), axis=1)  # (N, losses)
    present = [i for i, row in enumerate(rows) if not np.isnan(row).any()]
    updates = [ClientUpdate(i, 1, {}, dict(zip(losses, rows[i].tolist(), strict=True))) for i in present]
    equal = dict.fromkeys(present, 1 / len(present))
    return defense.reweight(updates, equal, Round(t, {}, frozenset(), num_clients=len(rows)))
