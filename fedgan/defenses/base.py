"""The places where a defense may act. The base class acts in none of them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from fedgan.core.round import Round
from fedgan.core.update import ClientUpdate, State, effective_clients
from fedgan.gan.recipe import Recipe


@dataclass(frozen=True)
class Decision:
    """What is made of a round's clients: by one defense, or by the server after all of them.

    Attributes:
        weights: aggregation weight by client id, for the clients that took part; they sum to 1. Empty after an
            aggregate that has no weights, such as a coordinate median.
        flagged: the clients taken for malicious in this round and acted against.
        flag_counts: in how many rounds each client that took part has been flagged so far, by whichever defense, this
            round included. The server counts (``counted``); a defense leaves it empty.
    """

    weights: Mapping[int, float]
    flagged: frozenset[int] = frozenset()
    flag_counts: Mapping[int, int] = field(default_factory=dict)

    @property
    def effective_clients(self) -> float | None:
        """1 / sum_i w_i^2; None without weights."""
        return effective_clients(list(self.weights.values())) if self.weights else None

    def counted(self, before: Mapping[int, int]) -> "Decision":
        """The same with its flags counted: the rounds before this one, and this one.

        Args:
            before: the counts of everybody who was ever present.

        Example:
            >>> Decision({0: 0.5, 1: 0.5}, frozenset({1})).counted({1: 2, 7: 4}).flag_counts
            {0: 0, 1: 3}
        """
        return replace(self, flag_counts={i: before.get(i, 0) + (i in self.flagged) for i in self.weights})

    def to_plain(self) -> dict[str, Any]:
        """As plain values, for a checkpoint."""
        return {"weights": dict(self.weights), "flagged": sorted(self.flagged), "flag_counts": dict(self.flag_counts)}

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> "Decision":
        """The inverse of ``to_plain``."""
        return cls(plain["weights"], frozenset(plain["flagged"]), plain["flag_counts"])

    def detection_rates(self, malicious: frozenset[int]) -> tuple[float | None, float | None]:
        """True and false positive rate of this round's flags; None where there was nobody to find or to spare."""
        present = frozenset(self.flag_counts)
        guilty, innocent = present & malicious, present - malicious
        return _share(self.flagged & guilty, guilty), _share(self.flagged & innocent, innocent)


@dataclass(frozen=True)
class Aggregate:
    """What the clients' states became.

    Attributes:
        state: the new global state, before the server's optimizer steps towards it.
        weights: the weight that each client really had in it, by id, summing to 1; None where the rule has no such
            weights.
    """

    state: State
    weights: Mapping[int, float] | None


def minority(suspects: Iterable[int], scores: Mapping[int, float]) -> frozenset[int]:
    """Fewer than half of those present: of the suspects those with the highest scores, of equal ones the lower ids.

    Args:
        suspects: by id.
        scores: of everybody present.

    Example:
        >>> sorted(minority([0, 1, 2], {0: 5.0, 1: 9.0, 2: 5.0, 3: 0.0, 4: 0.0}))
        [0, 1]
    """
    ordered = sorted(suspects, key=lambda i: (-scores[i], i))
    return frozenset(ordered[: (len(scores) - 1) // 2])


@dataclass(frozen=True)
class Comparison:
    """What a client's generator draws and what the others' do, by which a person judges a flag.

    Attributes:
        own: the client's mean image, in [-1, 1], or what is compared in its place: float, (C, H, W).
        others: the median of the other clients' ones, alike, as the defense compares it: for instance in the client's
            colors.
        images: a few images that the client's generator draws, float in [-1, 1], (n, C, H, W); n is 0 where what is
            compared has no place in an image, such as a spectrum.
    """

    own: Tensor
    others: Tensor
    images: Tensor


@dataclass(frozen=True)
class ServerTraining:
    """Training on real images of the server's own, set apart from those of all clients.

    Attributes:
        images_per_class: how many real images of each class the server has.
        rounds_after: rounds after the federation's, in which the server trains alone; one is one epoch. With 0 (and no
            ``every_round``) the images are set apart all the same: the control.
        every_round: whether the server trains in each round of the federation too, as a client would, from the same
            reference; defenses find the result in ``Round.root``.
    """

    images_per_class: int
    rounds_after: int = 0
    every_round: bool = False

    @property
    def trains(self) -> bool:
        """Whether the server trains at all."""
        return self.every_round or self.rounds_after > 0


class Defense:
    """No defense. Subclasses override the hooks they need; several defenses can be on at once.

    ``name`` is what the configuration calls it, such as ``multi_krum``, for errors; who builds it from there sets it.

    In a round the server calls ``filter`` of each defense, then ``reweight`` of each, then the one ``aggregate`` there
    is (or takes the weighted mean, Eq. 3), then ``finish`` of each, then ``rewinds`` of each, always in the order of
    the configuration.
    """

    name: str | None = None
    longest_rewind = 0  # the largest number of rounds that ``rewinds`` asks for: so many generators are kept

    def setup(self, *, num_clients: int, clients_per_round: int, rounds: int) -> None:
        """Prepare for a federation, once, before its first round.

        Args:
            num_clients: N.
            clients_per_round: how many of them take part in a round.
            rounds: of the federation.

        Raises:
            ValueError: in one line, if this defense could not act in it.
        """

    def check_present(self, updates: Sequence[ClientUpdate]) -> None:
        """Look at a round's updates before anything is made of them: too few, say, where some were lost.

        Raises:
            ValueError: in one line, if this defense cannot act on them.
        """

    def adapt(self, recipe: Recipe) -> Recipe:
        """Every client's local objective and what belongs to it, before the first round."""
        return recipe

    def transform_batch(self, images: Tensor, rng: torch.Generator) -> Tensor:
        """Every client's batch of real images before its local step: float in [-1, 1], (B, C, H, W)."""
        return images

    def filter(self, updates: Sequence[ClientUpdate], round_: Round) -> Sequence[ClientUpdate]:
        """This round's updates (in the order of their ids) as the server continues with them: clipped, normalized, ...

        The number and the ids of the updates stay; one that is left alone is returned as the same object.
        """
        return updates

    def reweight(self, updates: Sequence[ClientUpdate], weights: Mapping[int, float], round_: Round) -> Decision:
        """New aggregation weights from this round's updates (in the order of their ids).

        Args:
            updates: one per client that took part, as filtered.
            weights: what ``fl.weighting`` gave, as the defenses before this one changed it; they sum to 1.
            round_: the round.
        """
        return Decision(weights)

    def aggregate(self, updates: Sequence[ClientUpdate], weights: Mapping[int, float], round_: Round) -> Aggregate:
        """The aggregate in place of the weighted mean (Eq. 3). At most one of the defenses that are on has one."""
        raise NotImplementedError(f"{type(self).__name__} leaves the aggregate to the weighted mean")

    def finish(self, state: State, round_: Round) -> State:
        """The aggregate before the server steps towards it: with noise, say."""
        return state

    def rewinds(self, round_: Round) -> int:
        """By how many rounds the server sets its generator back instead of stepping to the aggregate; 0: not at all.

        1 leaves it as it was sent out in this round. It goes back to the first one at most, and later no further than
        to the one that it was last set back to. What is released (``model.ema``) goes back with it; the clients'
        discriminators and optimizers, the server's optimizer and what defenses remember stay as they are.
        """
        return 0

    def server_training(self) -> ServerTraining | None:
        """What the server itself trains, and on how many images; None for nothing."""
        return None

    def facts(self) -> Mapping[str, Any]:
        """What it works with that no setting says, such as the content of a file; for the screen and run.json."""
        return {}

    def warnings(self) -> Sequence[str]:
        """What to beware of in the federation of ``setup``, one line each, for the screen at the start."""
        return []

    def measured_on(self) -> Mapping[str, Any]:
        """The settings, by their full names, with which a file that it works with was measured; none without one.

        A run with others warns of them at its start.
        """
        return {}

    def receipt(self) -> Mapping[str, float]:
        """What this defense did in the last round, as numbers: share of coordinates turned, norm clipped."""
        return {}

    def client_receipts(self) -> Mapping[int, Mapping[str, float]]:
        """The same of single clients, by id: a score, say."""
        return {}

    def maps(self) -> Mapping[str, Mapping[int, Tensor]]:
        """What a person may look at after a round: by what it shows, a map of each client, (H, W), not negative."""
        return {}

    def comparisons(self) -> Mapping[str, Mapping[int, Comparison]]:
        """Of each client that stood out in the last round, flagged or not, what it draws next to what the others do.

        By the name of a map in ``maps``, then by client; for those maps alone that speak against the client. H and W
        are the map's: the place where the map is highest is cut out, enlarged and shown.
        """
        return {}

    def state_dict(self) -> dict[str, Any]:
        """The memory that must survive an interruption: numbers, strings, lists, dicts and tensors."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the memory that ``state_dict`` returned."""


def overrides(defense: Defense, hook: str) -> bool:
    """Whether a defense acts in a hook at all.

    Example:
        >>> overrides(Defense(), "aggregate")
        False
    """
    return getattr(type(defense), hook) is not getattr(Defense, hook)


def _share(part: frozenset[int], whole: frozenset[int]) -> float | None:
    return len(part) / len(whole) if whole else None
