"""Generator audit: the server looks at what each client's generator draws, and says who differs, and where."""

from collections.abc import Mapping, Sequence
from math import log
from typing import Annotated, Any, Literal

import numpy as np
import torch
from annotated_types import Interval, MinLen, Predicate
from torch import Tensor

from fedgan.core.arguments import Allowed, Count, Fraction, NonNegative, Share, checked
from fedgan.core.checks import check
from fedgan.core.latents import balanced_latents
from fedgan.core.round import Round
from fedgan.core.update import ClientUpdate, normalize
from fedgan.defenses.audit.evidence import Evidence, Finding, Plane, others_of
from fedgan.defenses.audit.views import VIEWS, Map, reduced
from fedgan.defenses.base import Comparison, Decision, minority
from fedgan.defenses.robust.rule import Condition, RobustRule

Name = Literal["place", "classes", "spectrum"]
_USUAL = 0.05  # the share of rounds in which one honest client or another looks as unusual as one that is let go
_EXAMPLES = 2  # images of each client that are shown if it is flagged
_LATENTS = 20_000  # the seed of the latents: others than those of evaluations


def _differ(views: Sequence[str]) -> bool:
    return len(set(views)) == len(views)


Views = Annotated[
    Sequence[Name],
    MinLen(1),
    Predicate(_differ),
    Allowed(f"a list of {', '.join(VIEWS)}, each once at most and one at least"),
]


@checked
class GeneratorAudit(RobustRule):
    """Clients whose generators draw what the others' do not, at one place and in round after round, get no weight.

    In each round the server draws images with every client's generator, from latents that never change, and compares
    maps of them (``views``): no image of anybody is needed, and no number that a client reports is trusted. Evidence
    is gathered over the rounds, and how rare a client's is, is judged by the other clients' (``Evidence``). A client is
    flagged when its score in a view has been above ln(views * rounds / false_alarms) for ``consecutive`` rounds, each
    round and view having its share of the false alarms: an honest client is odd for a round or two now and then, a
    trigger stays. It is flagged until nothing about it has been unusual for as long: until its scores are below
    ln(views / 0.05), which honest clients exceed in one round of 20. A trigger fades from the evidence while its client
    is left out, since the others' generator no longer carries it. At most fewer than half of those present are flagged,
    those with the highest scores, of clients flagged before the highest since then. With ``memory`` below 1 a client
    that stops is forgiven.

    To the audit a hospital's own mark, such as a ruler or a letter at one place, is a trigger: the maps in
    ``defenses/`` show a person where it is. It is blind to triggers at random places.

    Args:
        false_alarms: how often anybody may be flagged in a whole federation in which nobody attacks, in (0, 1), if
            the evidence is as ``Evidence`` assumes; see docs/defenses.md for what was measured.
        views: what is compared.
        images_per_class: images of each class that are drawn with every client's generator.
        memory: the share of the evidence that is kept from round to round, in (0, 1].
        consecutive: rounds, of those in which a client takes part, for which its score must be above the threshold.
        warmup: the first rounds, in which nobody is flagged.
        equalize: whether a client's gain, offset and mix of colors are taken out of its mean image before it is
            compared (other views stay as they are): hospitals have different scanners.
        rewind: rounds by which the generator is set back when a client is newly flagged, and after the last round. That
            discards what a trigger added before it was noticed, along with those rounds' training. Never goes back
            beyond the first generator or the last rewind. Not after the last round where as many clients are flagged
            as are tolerated (1 of 4): nobody is left whom it could have missed. 0: never.
        acts: False: it looks, flags nobody and sets nothing back.
    """

    condition = Condition(2, 1, at_least=4)

    def __init__(
        self,
        *,
        false_alarms: Fraction = 0.02,
        views: Views = ("place", "classes", "spectrum"),
        images_per_class: Annotated[int, Interval(ge=2, le=10_000)] = 64,
        memory: Share = 0.95,
        consecutive: Annotated[int, Interval(ge=1, le=100)] = 3,
        warmup: NonNegative = 0,
        equalize: bool = True,
        rewind: NonNegative = 0,
        acts: bool = True,
    ) -> None:
        self.false_alarms, self.views, self.warmup = false_alarms, tuple(views), warmup
        self.equalize, self.acts = equalize, acts
        self.longest_rewind = rewind if acts else 0
        self.images_per_class, self.memory, self.consecutive = images_per_class, memory, consecutive
        self.recent: dict[str, dict[int, list[float]]] = {view: {} for view in self.views}  # scores, the last ones
        self.evidence: dict[str, Evidence] = {
            view: Evidence(memory, VIEWS[view].background, equalize and VIEWS[view].equalizable) for view in self.views
        }
        self.threshold = self.threshold_for(rounds=1)
        self.flagged: dict[int, float] = {}  # each client's highest score since it was flagged
        self.caught = False  # whether somebody was newly flagged in the last round
        self.last = 0  # the last round
        self.planes: dict[str, dict[int, Plane]] = {}
        self.found: dict[str, dict[int, Finding]] = {}
        self.seen: Mapping[int, Mapping[str, Map]] = {}  # each client's maps of the last round
        self.examples: dict[int, Tensor] = {}  # of the last round: the first image of some classes, (n, C, H, W)

    def setup(self, *, num_clients: int, clients_per_round: int, rounds: int) -> None:
        """Set the threshold for so many rounds; refuse fewer than four clients, and too few rounds to flag anybody."""
        super().setup(num_clients=num_clients, clients_per_round=clients_per_round, rounds=rounds)
        least = max(self.warmup + 1, self.consecutive)
        why = f"so that somebody can be flagged (warmup={self.warmup}, consecutive={self.consecutive}), or acts=false"
        check(rounds >= least or not self.acts, "fl.rounds", f"at least {least} {why}", rounds)
        longest = self.longest_rewind
        check(rounds > longest, "fl.rounds", f"above defense.generator_audit.rewind, which is {longest}", rounds)
        self.last = rounds - 1
        self.threshold = self.threshold_for(rounds)

    @property
    def release(self) -> float:
        """The score below which a flagged client is let go."""
        return min(self.threshold, log(len(self.views) / _USUAL))

    def threshold_for(self, rounds: Count) -> float:
        """The score above which a client is flagged."""
        return log(len(self.views) * rounds / self.false_alarms)

    def reweight(self, updates: Sequence[ClientUpdate], weights: Mapping[int, float], round_: Round) -> Decision:
        """No weight for those who stand out."""
        ids = [update.client_id for update in updates]
        return self.decide(dict(zip(ids, self.look(updates, round_), strict=True)), weights, round_.index)

    def decide(self, maps: Mapping[int, Mapping[str, Map]], weights: Mapping[int, float], index: int) -> Decision:
        """What ``reweight`` says to each client's maps, by view, in the round ``index``: each once, in order."""
        ids, self.seen = list(maps), maps
        for view in self.views:
            self.planes[view] = self.evidence[view].add({i: maps[i][view] for i in ids})
            self.found[view] = self.evidence[view].judge(self.planes[view])
            for client, found in self.found[view].items():
                self.recent[view][client] = [*self.recent[view].get(client, []), found.score][-self.consecutive :]
        flagged = self._flag(ids) if self.acts and index >= self.warmup else frozenset[int]()
        shares = [0.0 if i in flagged else weights[i] for i in ids]
        if not any(shares):  # a defense before this one left weight only to those who are flagged now
            shares = [float(i not in flagged) for i in ids]
        return Decision(dict(zip(ids, normalize(shares), strict=True)), flagged)

    def look(self, updates: Sequence[ClientUpdate], round_: Round) -> list[dict[str, Map]]:
        """Each client's maps, by view, of what its generator draws from the same latents as all others'."""
        assert round_.renderer is not None, "a federation brings its renderer"
        draw, self.examples = round_.renderer, {}
        request = balanced_latents(draw.num_classes, self.images_per_class, _LATENTS)
        z = request.latents(draw.z_dim)

        def seen(update: ClientUpdate) -> dict[str, Map]:
            images = reduced(draw(update.state, z, request.labels))
            by_class = images.reshape(draw.num_classes, self.images_per_class, *images.shape[1:])
            self.examples[update.client_id] = by_class[:_EXAMPLES, 0].cpu()
            return {view: VIEWS[view].map_of(by_class) for view in self.views}

        return [seen(update) for update in updates]

    def score(self, view: str, client: int) -> float:
        """What a client's score has been at least for ``consecutive`` rounds; 0 until there are so many."""
        recent = self.recent[view][client]
        return min(recent) if len(recent) == self.consecutive else 0.0

    def score_of(self, client: int) -> float:
        """A client's highest score in any view."""
        return max(self.score(view, client) for view in self.views)

    def unusual(self, view: str, client: int) -> bool:
        """Whether a score of the last ``consecutive`` rounds was above ``release``."""
        return max(self.recent[view][client]) > self.release

    def _flag(self, ids: Sequence[int]) -> frozenset[int]:
        """Those who get no weight in this round.

        A client that is left out no longer finds its trigger in the generator it receives, so its score falls. It is
        therefore ranked by its highest score since it was flagged, and stays flagged in the rounds in which others
        take its place among the excluded: else an honest client with a lower score would set it free.
        """
        scores = {i: self.score_of(i) for i in ids}
        known = {
            i: max(highest, scores[i])
            for i, highest in self.flagged.items()
            if i in scores and any(self.unusual(view, i) for view in self.views)
        }
        ranked = scores | known
        found = minority({i for i in ids if i in known or scores[i] > self.threshold}, ranked)
        self.caught = not found <= self.flagged.keys()
        absent = {i: highest for i, highest in self.flagged.items() if i not in scores}
        self.flagged = absent | known | {i: ranked[i] for i in sorted(found)}
        return found

    def rewinds(self, round_: Round) -> int:
        """``rewind`` where somebody was newly flagged, and in the last round while somebody else could be; else 0."""
        others = round_.index == self.last and len(self.flagged) < self.condition.tolerates(round_.num_clients)
        return self.longest_rewind if self.caught or others else 0

    def receipt(self) -> Mapping[str, float]:
        """The threshold."""
        return {"threshold": self.threshold}

    def client_receipts(self) -> Mapping[int, Mapping[str, float]]:
        """Each client's score in each view (``score``), and the row and column of the place with the most evidence.

        They are the map's: images of more than ``LARGEST`` pixels per side are averaged down (``reduced``).
        """
        return {
            client: {f"{view}_{name}": float(value) for view in self.views for name, value in self._of(view, client)}
            for client in self.found[self.views[0]]
        }

    def _of(self, view: str, client: int) -> list[tuple[str, float]]:
        return list((self.found[view][client]._asdict() | {"score": self.score(view, client)}).items())

    def maps(self) -> Mapping[str, Mapping[int, Tensor]]:
        """Each client's evidence by place, by view."""
        return {
            view: {client: torch.from_numpy(plane) for client, plane in planes.items()}
            for view, planes in self.planes.items()
        }

    def comparisons(self) -> Mapping[str, Mapping[int, Comparison]]:
        """The map of each client above the threshold and the median of the others', in the views in which it is."""
        return {
            view: {i: self._compared(view, i) for i in sorted(self.examples) if self.score(view, i) > self.threshold}
            for view in self.views
        }

    def _compared(self, view: str, client: int) -> Comparison:
        """Of several classes the one that differs most where the evidence is highest."""
        own, images, place = self.seen[client][view], self.examples[client], self.found[view][client]
        maps = np.stack([each[view] for each in self.seen.values()])
        others = others_of(maps, list(self.seen).index(client), self.evidence[view].equalized)
        channels = images.shape[1]
        apart = np.abs(own - others)[:, place.row, place.column].reshape(-1, channels).sum(axis=1)
        start = channels * int(apart.argmax())
        in_images = own.shape[1:] == images.shape[2:]  # not so in a spectrum
        one, rest = (torch.from_numpy(each[start : start + channels]) for each in (own, others))
        return Comparison(one, rest, images if in_images else images[:0])

    def state_dict(self) -> dict[str, Any]:
        """The evidence, who is flagged, and the last scores."""
        return {
            "evidence": {view: each.state_dict() for view, each in self.evidence.items()},
            "flagged": dict(self.flagged),
            "recent": {view: {i: list(scores) for i, scores in each.items()} for view, each in self.recent.items()},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore them."""
        for view, each in self.evidence.items():
            each.load_state_dict(state["evidence"][view])
        flagged = state["flagged"]  # without scores in checkpoints of earlier versions
        self.flagged = dict(flagged) if isinstance(flagged, dict) else dict.fromkeys(flagged, 0.0)
        self.recent = {view: {i: list(scores) for i, scores in state["recent"][view].items()} for view in self.views}
