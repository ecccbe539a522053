"""A detector on updates that were recorded: who would have been flagged, and when."""

from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fedgan.core.checks import check
from fedgan.core.round import Round
from fedgan.core.update import ClientUpdate, State
from fedgan.defenses.base import Decision, Defense, overrides

ALONE = "a detector that reads losses alone"


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
        ValueError: in one line, if the detector could not act in such a federation, reads a loss that is not given, or
            is none on losses alone.

    Example:
        >>> from fedgan.defenses.feddetect_cusum import FedDetectCusum
        >>> rounds = [[2.0, 2.1, 1.9, 2.0 + 0.5 * t] for t in range(6)]
        >>> [sorted(each.flagged) for each in replay(FedDetectCusum(spread=0.1), {"loss_g": rounds})]
        [[], [], [], [], [3], [3]]
    """
    check(not overrides(defense, "filter"), "defense", ALONE, defense)
    tables = {name: np.asarray(table, dtype=np.float64) for name, table in losses.items()}
    rounds, num_clients = next(iter(tables.values())).shape
    nothing: Any = _Unrecorded(defense)
    recorded = [_updates({name: table[t] for name, table in tables.items()}, nothing) for t in range(rounds)]
    state, seen = frozenset({"generator"}), {"root": nothing, "renderer": nothing}
    alone = [Round(t, nothing, state, num_clients, **seen) for t in range(rounds)]
    return decisions(defense, list(zip(recorded, alone, strict=True)))


def decisions(defense: Defense, recorded: Sequence[tuple[Sequence[ClientUpdate], Round]]) -> list[Decision]:
    """A defense's decisions on recorded rounds, each client having the same weight before it; flags are counted.

    Args:
        defense: new, as it was built; ``setup`` is called here.
        recorded: the updates of each round, in the order of their ids, and what else the defense sees of it.

    Raises:
        ValueError: in one line, if it flags nobody by what it is, or could not act in such a federation.
    """
    check(overrides(defense, "reweight"), "defense", "one that changes weights or flags clients", defense)
    num_clients = recorded[0][1].num_clients
    defense.setup(num_clients=num_clients, clients_per_round=num_clients, rounds=len(recorded))
    counts, found = dict[int, int](), list[Decision]()
    for updates, round_ in recorded:
        defense.check_present(updates)
        equal = {update.client_id: 1 / len(updates) for update in updates}
        found.append(defense.reweight(updates, equal, round_).counted(counts))
        counts |= found[-1].flag_counts
    return found


def _updates(losses: Mapping[str, NDArray[np.float64]], nothing: State) -> list[ClientUpdate]:
    """Of the clients that took part in a round."""
    rows = np.stack(list(losses.values()), axis=1)  # (N, losses)
    present = [i for i, row in enumerate(rows) if not np.isnan(row).any()]
    return [ClientUpdate(i, 1, nothing, _Losses(zip(losses, rows[i].tolist(), strict=True))) for i in present]


class _Losses(dict[str, float]):
    """Those that are known."""

    def __missing__(self, name: str) -> NoReturn:
        raise ValueError(f"losses must be with {name}, which the detector reads; got {', '.join(self)}")


class _Unrecorded(Mapping[str, Any]):
    """In place of states and a renderer, which a recording of losses does not have: to look at it is refused."""

    def __init__(self, defense: Defense) -> None:
        self._defense = defense

    def _refuse(self, *_: object) -> NoReturn:
        check(False, "defense", ALONE, self._defense)
        raise AssertionError

    __getitem__ = __iter__ = __len__ = __getattr__ = __call__ = _refuse
