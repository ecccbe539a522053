"""FLTrust (Cao, Fang, Liu, Gong 2021, Section 4): the server trains too, and trusts whoever goes its way."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from fedgan.core.arguments import Count, component
from fedgan.core.round import Round
from fedgan.core.update import ClientUpdate
from fedgan.defenses.base import ServerTraining
from fedgan.defenses.robust.gram import Matrix, cosines, gram_matrix
from fedgan.defenses.robust.rule import Condition, WeightRule


def trust_scores(gram: Matrix) -> list[float]:
    """ReLU of each update's cosine with the server's own (Equation 2), in [0, 1]; 0 for an update of length 0.

    Args:
        gram: inner products, (N + 1, N + 1); the last is the server's.

    Example:
        >>> updates = np.array([[2.0, 0.0], [0.0, 3.0], [-1.0, 0.0], [1.0, 0.0]])
        >>> trust_scores(updates @ updates.T)
        [1.0, 0.0, 0.0]
    """
    return [max(float(cosine), 0.0) for cosine in cosines(gram)[-1, :-1]]


@component
class FLTrust(WeightRule):
    """Updates are weighed by their trust scores, after each has been given the length of the server's own.

    The server takes real images from the training images before the clients share them out, as ``Reconstruction`` does,
    and trains in each round as a client would: from the same reference, as many epochs, with a discriminator of its own
    that no client sees. The aggregate is as published: the sum over clients of TS_i |d_0| / |d_i| d_i, divided by the
    sum of all TS_i (Equation 4). A client whose score is 0 is flagged. If nobody is trusted, the generator stays as it
    is, and nobody is flagged.

    It tolerates any number of malicious clients, as long as the server's images are clean and are like the clients'.

    Args:
        images_per_class: real images of each class that the server has, at least 1 (the paper: 100 in all).
    """

    images_per_class: Count = 50

    condition = Condition(1, 1)
    num_malicious = 0

    def __post_init__(self) -> None:
        self.scores: list[float] = []

    def server_training(self) -> ServerTraining:
        """Each round, on images of its own."""
        return ServerTraining(self.images_per_class, every_round=True)

    def filter(self, updates: Sequence[ClientUpdate], round_: Round) -> Sequence[ClientUpdate]:
        """Every update with the length of the server's own (Equation 3); the reference where nobody is trusted."""
        assert round_.root is not None, "the federation trains the server too: see server_training"
        gram = gram_matrix([*(update.state for update in updates), round_.root], round_)
        self.scores = trust_scores(gram)
        if not any(self.scores):
            return [replace(update, state=round_.reference) for update in updates]
        lengths = np.sqrt(np.diag(gram))
        factors = [float(lengths[-1] / own) if score else 0.0 for own, score in zip(lengths, self.scores, strict=False)]
        return [replace(u, state=round_.scaled(u.state, factor)) for u, factor in zip(updates, factors, strict=True)]

    def rate(self, updates: Sequence[ClientUpdate], round_: Round) -> list[float]:
        """The trust scores, of the updates as they came."""
        return self.scores

    def receipt(self) -> Mapping[str, float]:
        """The lowest, mean and highest trust score of the last round, in [0, 1]."""
        return {
            "trust_min": min(self.scores),
            "trust_mean": sum(self.scores) / len(self.scores),
            "trust_max": max(self.scores),
        }
