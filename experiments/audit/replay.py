"""What each detector would have said of a recorded federation, in which nobody acted on it."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from experiments.audit.recording import read
from experiments.audit.scores import by_client
from experiments.images import spread
from experiments.measures import AUDIT
from fedgan.core.round import Round
from fedgan.core.update import ClientUpdate
from fedgan.defenses.audit.generator_audit import GeneratorAudit
from fedgan.defenses.base import Defense
from fedgan.defenses.feddetect import FedDetect
from fedgan.defenses.feddetect_code import FedDetectCode
from fedgan.defenses.feddetect_cusum import FedDetectCusum
from fedgan.defenses.feddetect_grubbs import FedDetectGrubbs
from fedgan.defenses.feddetect_mean import FedDetectMean
from fedgan.defenses.replay import decisions
from fedgan.defenses.robust.flame import Flame
from fedgan.defenses.robust.krum import Krum

Recorded = Mapping[str, NDArray[Any]]
Flags = list[frozenset[int]]  # of each round
EQUALIZED = f"{AUDIT}_equalized"  # with equalize=true; ``AUDIT`` is without
WARMUP = 5  # of FedDetect, of the 20 rounds: the paper's 10 would leave half of them


class Verdict(NamedTuple):
    """What a detector made of a federation.

    Attributes:
        honest: honest clients that were ever flagged.
        rounds: honest clients' flags, over all rounds.
        found: the first round, counted from 0, in which all malicious clients are flagged; None if there is none.
        weight: the share of the honest clients' flags among their presences, in [0, 1].
        highest: the highest score of an honest client; None for detectors without a score.
        attacker: the highest score that all malicious clients reach together; None likewise.
    """

    honest: int
    rounds: int
    found: int | None
    weight: float
    highest: float | None = None
    attacker: float | None = None


def verdict(flags: Flags, clients: Sequence[int], malicious: Sequence[int]) -> Verdict:
    """From the flags of each round.

    Example:
        >>> verdict([frozenset(), frozenset({0, 2}), frozenset({2})], clients=[0, 1, 2], malicious=[2])[:4]
        (1, 1, 1, 0.16666666666666666)
    """
    bad = frozenset(malicious)
    honest = [each - bad for each in flags]
    count = sum(map(len, honest))
    found = next((t for t, each in enumerate(flags) if bad and bad <= each), None)
    return Verdict(len(frozenset().union(*honest)), count, found, count / (len(flags) * (len(clients) - len(bad))))


def audited(rounds: Sequence[Recorded], malicious: Sequence[int], *, equalize: bool) -> Verdict:
    """``generator_audit``, its other settings as they are."""
    audit = GeneratorAudit(equalize=equalize)
    clients = _clients(rounds)
    audit.setup(num_clients=len(clients), clients_per_round=len(clients), rounds=len(rounds))
    flags, scores = [], []
    for t, recorded in enumerate(rounds):
        flags.append(audit.decide(by_client(recorded), dict.fromkeys(clients, 1 / len(clients)), t).flagged)
        scores.append([audit.score_of(i) for i in clients])
    late = np.array(scores)
    honest = [i for i in range(len(clients)) if i not in malicious]
    attacker = float(late[:, malicious].min(axis=1).max()) if malicious else None
    return verdict(flags, clients, malicious)._replace(highest=float(late[:, honest].max()), attacker=attacker)


def rated(defense: Defense, rounds: Sequence[Recorded], malicious: Sequence[int]) -> Verdict:
    """A defense that looks at losses alone, or at inner products of updates."""
    made = decisions(defense, [(_updates(recorded), _round(t, recorded)) for t, recorded in enumerate(rounds)])
    return verdict([each.flagged for each in made], _clients(rounds), malicious)


def detectors(malicious: int, spread: float) -> dict[str, Callable[[], Defense]]:
    """The others, by name, set for as many malicious clients as there are, or for one.

    Args:
        malicious: how many there are.
        spread: of honest clients' log losses; for the CUSUM.
    """
    return {
        "feddetect_cusum": lambda: FedDetectCusum(spread=spread),
        "feddetect_grubbs": lambda: FedDetectGrubbs(warmup=WARMUP),
        "feddetect": lambda: FedDetect(warmup=WARMUP),
        "feddetect_code": lambda: FedDetectCode(warmup=WARMUP),
        "feddetect_mean": lambda: FedDetectMean(warmup=WARMUP),
        "flame": lambda: Flame(noise=0.0),
        "krum": lambda: Krum(num_malicious=max(1, malicious), selected=1),
        "multi_krum": lambda: Krum(num_malicious=max(1, malicious), selected=None),
    }


def _clients(rounds: Sequence[Recorded]) -> list[int]:
    return [int(i) for i in rounds[0]["clients"]]


def _updates(recorded: Recorded) -> list[ClientUpdate]:
    """Clients' updates with their losses, and deltas that have the inner products that were recorded."""
    names = [str(name) for name in recorded["names"]]
    deltas = _roots(recorded["gram"])
    return [
        ClientUpdate(int(i), 1, {"w": torch.from_numpy(delta)}, dict(zip(names, map(float, losses), strict=True)))
        for i, delta, losses in zip(recorded["clients"], deltas, recorded["losses"], strict=True)
    ]


def _roots(gram: NDArray[np.float64]) -> NDArray[np.float64]:
    """Vectors with these inner products: N of N numbers each."""
    values, vectors = np.linalg.eigh(gram)
    rooted: NDArray[np.float64] = vectors * np.sqrt(np.maximum(values, 0.0))
    return rooted


def _round(index: int, recorded: Recorded) -> Round:
    count = len(recorded["clients"])
    return Round(index, {"w": torch.zeros(count).double()}, frozenset({"w"}), num_clients=count)


def replay(run: Path) -> dict[str, Verdict]:
    """Every detector's verdict on a run (``DATA/SETTING/sN``) with ``recording/`` in it.

    Those that refuse so few clients are left out.
    """
    malicious = [int(i) for i in json.loads((run / "run.json").read_text())["malicious"]]
    rounds = read(run / "recording")
    known = spread(run.parent.parent.name, len(_clients(rounds)))
    found = {
        AUDIT: audited(rounds, malicious, equalize=False),
        EQUALIZED: audited(rounds, malicious, equalize=True),
    }
    takers = {name: make for name, make in detectors(len(malicious), known).items() if takes(make(), rounds)}
    return found | {name: rated(make(), rounds, malicious) for name, make in takers.items()}


def takes(defense: Defense, rounds: Sequence[Recorded]) -> bool:
    """Whether a defense accepts so few clients and rounds."""
    clients = len(_clients(rounds))
    try:
        defense.setup(num_clients=clients, clients_per_round=clients, rounds=len(rounds))
    except ValueError:
        return False
    return True
