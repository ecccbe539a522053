"""What robust rules have in common: how many malicious clients they tolerate, and weights from what a rule thinks."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fedgan.core.checks import check_at_least
from fedgan.core.round import Round
from fedgan.core.update import ClientUpdate, normalize
from fedgan.defenses.base import Decision, Defense


@dataclass(frozen=True)
class Condition:
    """N >= slope f + offset: what a rule asks of N clients, f of them malicious; and N >= at_least, whatever f.

    Example:
        >>> krum = Condition(2, 3)
        >>> print(krum, krum.least(1), krum.tolerates(4), krum.tolerates(16))
        N >= 2 f + 3 5 0 6
    """

    slope: int
    offset: int
    at_least: int = 0

    def __str__(self) -> str:
        """As a formula."""
        return f"N >= {self.slope} f + {self.offset}" + (f" and N >= {self.at_least}" if self.at_least else "")

    def least(self, num_malicious: int) -> int:
        """The fewest clients with which a rule tolerates so many malicious ones."""
        return max(self.slope * num_malicious + self.offset, self.at_least)

    def tolerates(self, num_clients: int) -> int:
        """How many malicious clients a rule tolerates among so many."""
        return max(0, (num_clients - self.offset) // self.slope) if num_clients >= self.at_least else 0


class RobustRule(Defense):
    """A rule that tolerates some malicious clients: refused where it could not.

    When updates are lost in a round (``fl.dropout``, a straggler, a fault), the rule is applied to those that there
    are, with f as it was set, as long as its condition holds; else the run stops and names ``fl.min_clients``,
    which makes the server repeat such a round.
    """

    condition = Condition(2, 1)  # fewer than half
    num_malicious = 1

    def setup(self, *, num_clients: int, clients_per_round: int, rounds: int) -> None:
        """Refuse a federation in which the rule tolerates too few."""
        self._check_enough("fl.num_clients", num_clients)
        self._check_enough("fl.clients_per_round", clients_per_round)

    def check_present(self, updates: Sequence[ClientUpdate]) -> None:
        """Refuse a round with too few updates.

        Raises:
            ValueError: in one line.
        """
        self._check_enough("fl.min_clients", len(updates))

    def _check_enough(self, setting: str, count: int) -> None:
        f, least = self.num_malicious, self.condition.least(self.num_malicious)
        why = f"{self.condition}; {count} tolerate {self.condition.tolerates(count)}"
        called = type(self).__name__ if self.name is None else f"defense={self.name}"
        malicious = f"{f} malicious client{'' if f == 1 else 's'}"
        check_at_least(setting, count, least, f" for {called} to tolerate {malicious} ({why})")


class WeightRule(RobustRule, ABC):
    """A rule that gives each client a weight, 0 for those whom it drops.

    Weights start from 1/N each and not from ``fl.weighting``: a client states its own number of images, and an attacker
    states what it likes. A client that a defense before this one left without weight stays without; other differences
    that it made are lost, so list a defense that only lowers weights (``feddetect``) after this one. Where nobody
    would be left, this rule leaves the weights as they are.
    """

    @abstractmethod
    def rate(self, updates: Sequence[ClientUpdate], round_: Round) -> Sequence[float]:
        """Each update's weight, not negative and not all 0, of any sum; 0 drops the client."""

    def reweight(self, updates: Sequence[ClientUpdate], weights: Mapping[int, float], round_: Round) -> Decision:
        """Weights from ``rate``; those who are dropped are flagged."""
        ids = [update.client_id for update in updates]
        rated = dict(zip(ids, self.rate(updates, round_), strict=True))
        shares = [rated[i] if weights[i] > 0 else 0.0 for i in ids]
        flagged = frozenset(i for i in ids if rated[i] == 0) if any(shares) else frozenset()
        left = dict(zip(ids, normalize(shares), strict=True)) if any(shares) else weights
        return Decision(left, flagged)


def indicator(kept: Sequence[int], count: int) -> list[float]:
    """1 for the positions that are kept, 0 for the others.

    Example:
        >>> indicator([2, 0], 4)
        [1.0, 0.0, 1.0, 0.0]
    """
    return [float(i in kept) for i in range(count)]
