"""FoolsGold (Fung, Yoon, Beschastnikh 2020): clients whose updates resemble each other's too much are sybils."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import Tensor

from fedgan.core.arguments import Positive, component
from fedgan.core.round import Round
from fedgan.core.update import ClientUpdate
from fedgan.defenses.robust.gram import Matrix, cosines, gram_of, in_pieces
from fedgan.defenses.robust.rule import WeightRule

_SURE = 0.99  # in place of 1, whose logit is infinite


@component
class FoolsGold(WeightRule):
    """Weights from the cosines between the sums of all that clients have sent so far, H_i, by client id.

    It is built against several malicious clients that pursue one aim. **A lone attacker among honest clients that are
    alike gets all the weight**, and so does any odd honest client. Nothing else remembers as much: the server keeps one
    update per client, in memory and in checkpoints.

    Args:
        confidence: kappa, above 0: how steep the logit is (the paper: 1).
    """

    confidence: Positive = 1.0

    def __post_init__(self) -> None:
        self.history: dict[int, dict[str, Tensor]] = {}

    def rate(self, updates: Sequence[ClientUpdate], round_: Round) -> list[float]:
        """Weights in [0, 1]; all 1 where everybody would lose all."""
        for update in updates:
            self._remember(update, round_)
        sums = [self.history[update.client_id] for update in updates]
        gram = gram_of(piece for _, piece in in_pieces(sums, round_.parameters))
        weights = foolsgold_weights(cosines(gram), self.confidence)
        return [float(w) for w in weights] if weights.any() else [1.0] * len(updates)

    def _remember(self, update: ClientUpdate, round_: Round) -> None:
        delta, before = round_.delta(update.state), self.history.get(update.client_id)
        total = delta if before is None else {name: before[name].to(d.device) + d for name, d in delta.items()}
        self.history[update.client_id] = total

    def state_dict(self) -> dict[str, Any]:
        """The sum of each client's updates."""
        return {"history": {i: dict(each) for i, each in self.history.items()}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the sums."""
        self.history = {i: dict(each) for i, each in state["history"].items()}


def foolsgold_weights(cosine: Matrix, confidence: float = 1.0) -> Matrix:
    """Weights in [0, 1] from the clients' cosines, (N, N) to (N,): Algorithm 1 of the paper.

    Example:
        >>> h = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.6, -0.8]])
        >>> foolsgold_weights(h @ h.T).tolist()
        [0.0, 0.0, 1.0, 1.0]
    """
    others = cosine - np.diag(np.diag(cosine))  # 0 with oneself
    most = others.max(axis=1)
    # An honest client that resembles a sybil is pardoned: the sybil resembles another one more.
    ratio = np.divide(most[:, None], most, out=np.ones_like(others), where=most > most[:, None])
    weights: Matrix = np.clip(1.0 - (others * ratio).max(axis=1), 0.0, 1.0)
    if not weights.any():
        return weights
    weights = np.minimum(weights / weights.max(), _SURE)
    with np.errstate(divide="ignore"):  # the logit of 0 is -inf, and clipped
        logits = np.log(weights / (1.0 - weights))
    clipped: Matrix = np.clip(confidence * (logits + 0.5), 0.0, 1.0)
    return clipped
