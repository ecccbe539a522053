"""FLTrust (Cao, Fang, Liu, Gong 2021, Section 4): the server trains too, and trusts whoever goes its way."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from fedgan.core.arguments import Count, checked
from fedgan.core.round import Round
from fedgan.core.update import ClientUpdate, normalize
from fedgan.defenses.base import Decision, Defense, ServerTraining

Delta = Mapping[str, Tensor]


def trust_scores(deltas: Sequence[Delta], root: Delta) -> list[float]:
    """ReLU of each update's cosine with the server's own (Equation 2), in [0, 1]; 0 for an update of length zero.

    Example:
        >>> root, same, across, against = ({"w": torch.tensor(w)} for w in ([1.0, 0], [2.0, 0], [0, 3.0], [-1.0, 0]))
        >>> trust_scores([same, across, against], root)
        [1.0, 0.0, 0.0]
    """
    own = norm(root)
    lengths = [own * norm(delta) for delta in deltas]
    products = [inner(delta, root) for delta in deltas]
    return [min(max(p / n, 0.0), 1.0) if n > 0 else 0.0 for p, n in zip(products, lengths, strict=True)]


def inner(a: Delta, b: Delta) -> float:
    """The inner product of two updates, tensor by tensor in float64."""
    return sum(float(torch.dot(a[name].flatten().double(), b[name].flatten().double())) for name in sorted(a))


def norm(delta: Delta) -> float:
    """The Euclidean length of an update."""
    return float(inner(delta, delta) ** 0.5)


@checked
class FLTrust(Defense):
    """Updates are weighed by their trust scores, after each has been given the length of the server's own.

    The server takes real images from the training images before the clients share them out, as ``Reconstruction`` does,
    and trains in each round as a client would: from the same reference, as many epochs, with a discriminator of its own
    that no client sees. ``fl.weighting`` is left aside, as published: the sum over clients of TS_i |d_0| / |d_i| d_i,
    divided by the sum of all TS_i (Equation 4). If nobody is trusted, the generator stays as it is.

    It stands any number of malicious clients, as long as the server's images are clean and are like the clients'.
    A client whose score is 0 counts as flagged.

    Args:
        images_per_class: real images of each class that the server has, at least 1 (the paper: 100 in all).
    """

    def __init__(self, *, images_per_class: Count = 50) -> None:
        self.images_per_class = images_per_class
        self.counts: dict[int, int] = {}
        self.scores: dict[int, float] = {}

    def server_training(self) -> ServerTraining:
        """Each round, on images of its own."""
        return ServerTraining(self.images_per_class, every_round=True)

    def filter(self, updates: Sequence[ClientUpdate], round_: Round) -> Sequence[ClientUpdate]:
        """Every update with the length of the server's own (Equation 3); the reference where nobody is trusted."""
        assert round_.root is not None, "the federation trains the server too: see server_training"
        root, deltas = round_.delta(round_.root), [round_.delta(update.state) for update in updates]
        scores, own = trust_scores(deltas, root), norm(root)
        self.scores = {update.client_id: score for update, score in zip(updates, scores, strict=True)}
        if not any(scores):
            return [replace(update, state=round_.reference) for update in updates]
        factors = [own / norm(delta) if score else 0.0 for delta, score in zip(deltas, scores, strict=True)]
        return [
            replace(update, state=round_.moved({name: d * factor for name, d in delta.items()}, update.state))
            for update, delta, factor in zip(updates, deltas, factors, strict=True)
        ]

    def reweight(self, updates: Sequence[ClientUpdate], weights: Mapping[int, float], round_: Round) -> Decision:
        """Weights proportional to the trust scores; with none above 0 equal ones, of states that are all equal."""
        ids = [update.client_id for update in updates]
        distrusted = frozenset(i for i in ids if not self.scores[i])
        for i in ids:
            self.counts[i] = self.counts.get(i, 0) + (i in distrusted)
        shares = normalize([self.scores[i] if len(distrusted) < len(ids) else 1.0 for i in ids])
        return Decision(dict(zip(ids, shares, strict=True)), distrusted, {i: self.counts[i] for i in ids})

    def receipt(self) -> Mapping[str, float]:
        """The lowest, mean and highest trust score of the last round, in [0, 1]."""
        scores = list(self.scores.values())
        return {"trust_min": min(scores), "trust_mean": sum(scores) / len(scores), "trust_max": max(scores)}

    def state_dict(self) -> dict[str, Any]:
        """How often each client was not trusted."""
        return {"counts": dict(self.counts)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the counts."""
        self.counts = dict(state["counts"])
