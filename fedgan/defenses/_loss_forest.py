"""Algorithm 1 whatever the loss: an isolation forest on one number per client, decaying aggregation weights."""

import importlib
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import numpy as np
from annotated_types import Interval

from fedgan.core.arguments import Fraction, NonNegative, component
from fedgan.core.round import Round
from fedgan.core.update import ClientUpdate, normalize
from fedgan.defenses._detector import LossDetector
from fedgan.defenses.base import Decision

Trees = Annotated[int, Interval(ge=1, le=100_000)]
RandomState = Annotated[int, Interval(ge=0, le=2**32 - 1)]
_LEAST = 1e-200  # of a weight: d^c underflows to 0 eventually, and a round of only zeros has no mean


@component
class LossForest(LossDetector):
    """Flags the clients whose losses an isolation forest isolates, and decays their aggregation weights.

    With no attacker at all the forest still flags somebody in a good part of the rounds, and because decay
    compounds, the weight of benign clients is lost too: watch ``effective_clients`` in rounds.csv. At N = 4 a third
    of its verdicts change with ``random_state`` (100 trees); more trees change fewer. sklearn compares losses in
    float32: what differs by less is one loss, and clients whose losses are all one are never flagged.

    Args:
        warmup: m; detection starts in the first round t > m, t counted from 0 (the paper: 10).
        decay: d in (0, 1) (the paper: 0.9 for ISIC, 0.8 for ChestX).
        trees: of the isolation forest, at least 1 (sklearn's default and the first code: 100).
        random_state: of the isolation forest, fixed as in the first code, so that the verdict depends on the
            losses alone.
    """

    warmup: NonNegative = 10
    decay: Fraction = 0.9
    trees: Trees = 100
    random_state: RandomState = 999

    def __post_init__(self) -> None:
        self.c: list[int] = []
        self.w: list[float] = []

    @abstractmethod
    def loss_of(self, update: ClientUpdate) -> float:
        """The client's loss l_{G_i} of this round, as this rule reads it."""

    def setup(self, *, num_clients: int, clients_per_round: int, rounds: int) -> None:
        """Line 1 of Algorithm 1; one outlier must be fewer than half, and a round must follow the warm-up."""
        super().setup(num_clients=num_clients, clients_per_round=clients_per_round, rounds=rounds)
        self.c, self.w = [0] * num_clients, [1.0 / num_clients] * num_clients
        importlib.import_module("sklearn.ensemble")  # a second that no round should be charged with

    def reweight(self, updates: Sequence[ClientUpdate], weights: Mapping[int, float], round_: Round) -> Decision:
        """Lines 14 to 24 of Algorithm 1."""
        ids = [update.client_id for update in updates]
        outliers = self._outliers(updates) if round_.index > self.warmup else []
        if not 0 < len(outliers) < len(ids) / 2:
            outliers = []
        for i in outliers:
            self.c[i] += 1
            self.w[i] = max(self.w[i] * self.decay ** self.c[i], _LEAST)
        self.w = normalize(self.w)
        shares = normalize([weights[i] * self.w[i] for i in ids])
        return Decision(dict(zip(ids, shares, strict=True)), frozenset(outliers))

    def _outliers(self, updates: Sequence[ClientUpdate]) -> list[int]:
        losses = [self.loss_of(update) for update in updates]
        verdicts = isolation_outliers(losses, self.random_state, self.trees)
        return [update.client_id for update, out in zip(updates, verdicts, strict=True) if out]

    def state_dict(self) -> dict[str, Any]:
        """Counters c_i and weights w_i."""
        return {"c": list(self.c), "w": list(self.w)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore counters and weights."""
        self.c, self.w = list(state["c"]), list(state["w"])


def isolation_outliers(losses: Sequence[float], random_state: int, trees: int = 100) -> list[bool]:
    """Which losses an isolation forest (Liu et al. 2008; Algorithm 2) calls outliers.

    Sub-sampling size = all losses and the usual threshold (score above 0.5), as in the first code. A loss beyond
    float32, which a client may report, is taken for float32's largest: sklearn would make infinity of it, and flag
    another client.

    Example:
        >>> isolation_outliers([2.0, 2.1, 2.05, 9.0], random_state=0)
        [False, False, False, True]
    """
    # A second to import: only those who detect pay for it.
    from sklearn.ensemble import IsolationForest

    largest = float(np.finfo(np.float32).max)
    column = np.asarray(losses, dtype=np.float64).clip(-largest, largest).reshape(-1, 1)  # (N, 1)
    forest = IsolationForest(
        n_estimators=trees, max_samples=len(column), contamination="auto", random_state=random_state
    )
    return [bool(verdict == -1) for verdict in forest.fit_predict(column)]
