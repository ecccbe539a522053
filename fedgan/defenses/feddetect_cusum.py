"""FedDetect by evidence that adds up over rounds, against a spread measured on control runs; weights come back."""

from collections.abc import Mapping, Sequence
from math import floor
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from annotated_types import Interval, Predicate

from fedgan.core.arguments import Allowed, NonNegative, Positive, checked
from fedgan.core.checks import check
from fedgan.core.round import Round
from fedgan.core.update import ClientUpdate, normalize
from fedgan.defenses import _cusum
from fedgan.defenses._detector import LossDetector, Samples, with_loss
from fedgan.defenses.base import Decision, minority
from fedgan.defenses.calibration import LossName, read_calibration
from fedgan.gan.recipe import Recipe

LEAST = 3  # clients in a round that says anything: two are equally far from their median
_File = Annotated[str, Predicate(lambda text: bool(text.strip())), Allowed("a file of python -m fedgan.calibrate")]
Spread = Positive | _File | None


@checked
class FedDetectCusum(LossDetector):
    """Flags clients whose losses stay away from the others', round after round; not the paper's rule.

    In each round r_i is the client's log loss less the median over those present, z_i = r_i / spread, cut at 8. Two
    sums per client, U <- max(0, U + z - k) and D <- max(0, D - z - k), at most h + 7, gather what is too high and what
    is too low (CUSUM, Page 1954); C = max(U, D). A client is flagged while C > h, until C < h / 2, at most fewer than
    half of those present, the largest C first; a flagged client that is one too many in a round keeps its weight in it
    and its flag. The weight is multiplied by 2^-max(0, C - h): 1/128 at most, and all of it comes back as C falls. Who
    does not take part keeps both sums.

    Losses that may be negative (a Wasserstein critic's, Eq. 6) are compared as they are: once half of a round's losses
    are not above 0, the sums start anew without logarithms, for the rest of the federation. A calibration says which.

    The spread of honest clients' losses is a property of the data, the partition and the recipe: without ``spread`` it
    is the median over the rounds so far of c_N median_i |r_i|, which an attacker among four clients inflates, and
    which is too small where honest clients differ for good. Even a measured spread cannot tell an honest client that
    stays at 1.4 times the others' loss from an attacker that does.

    Args:
        spread: standard deviation of honest clients' log losses in a round (of the losses, where these may be
            negative), above 0; or the file of ``python -m fedgan.calibrate``; None for this run's own.
        k: what a round's z must exceed to count, in (0, 8).
        h: the sum above which a client is flagged, above 0.
        warmup: first rounds, which are left out.
        loss: which reported loss is read, by its name in clients.csv.
        samples: latents over which clients measure ``loss_g_final`` or ``loss_g_arrival``, if one of them is read.

    Raises:
        ValueError: in one line, if one is out of range, or the file is none or of another loss.
    """

    name = "feddetect_cusum"

    def __init__(
        self,
        *,
        spread: Spread = None,
        k: Annotated[float, Interval(gt=0, lt=_cusum.CLIP)] = 3.5,
        h: Annotated[float, Interval(gt=0, le=1e6)] = 5.0,
        warmup: NonNegative = 1,
        loss: LossName = "loss_g",
        samples: Samples = 256,
    ) -> None:
        self.k, self.h, self.warmup, self.loss, self.samples = k, h, warmup, loss, samples
        self.rounds_needed = floor(h / (_cusum.CLIP - k)) + 1  # a round adds 8 - k at most
        self.because = f" with k={k}, h={h}"
        self.file = spread if isinstance(spread, str) else None
        self.calibration = None if self.file is None else read_calibration("spread", Path(self.file).expanduser())
        self.spread = spread if isinstance(spread, float) else None
        self.logs: bool | None = None  # decided in the first round, or by the calibration
        if self.calibration is not None:
            measured = self.calibration.loss
            check(measured == loss, "loss", f"{measured}, which spread={self.file} was measured of", loss)
            self.spread, self.logs = self.calibration.spread, self.calibration.scale == "log"
        self.up: dict[int, float] = {}
        self.down: dict[int, float] = {}
        self.scales: list[float] = []
        self.flagged: frozenset[int] = frozenset()
        self.num_clients = 0
        self.present: tuple[int, ...] = ()

    def setup(self, *, num_clients: int, clients_per_round: int, rounds: int) -> None:
        """Refuse a federation in which nobody could ever be flagged."""
        super().setup(num_clients=num_clients, clients_per_round=clients_per_round, rounds=rounds)
        self.num_clients = num_clients

    def adapt(self, recipe: Recipe) -> Recipe:
        """Have the clients measure the loss that is read, where they would not."""
        return with_loss(recipe, self.loss, self.samples)

    def reweight(self, updates: Sequence[ClientUpdate], weights: Mapping[int, float], round_: Round) -> Decision:
        """Add the round's evidence, and lower the weights of those who are flagged."""
        ids = [update.client_id for update in updates]
        self.present = tuple(ids)
        if round_.index >= self.warmup and len(ids) >= LEAST:
            self._add(updates)
        evidence = {i: self.evidence_of(i) for i in ids}
        suspects = _cusum.suspects(evidence, self.flagged, self.h)
        found = minority(suspects, evidence)
        # Flags last until C < h/2, also where others take a client's place: a dropout lowers how many may be flagged.
        self.flagged = self.flagged - (set(ids) - suspects) | found
        if not found:
            return Decision(weights, found)
        shares = [weights[i] * (_cusum.reversible(evidence[i], self.h) if i in found else 1.0) for i in ids]
        return Decision(dict(zip(ids, normalize(shares), strict=True)), found)

    def evidence_of(self, client: int) -> float:
        """C_i, at least 0."""
        return max(self.up.get(client, 0.0), self.down.get(client, 0.0))

    def spread_now(self) -> float | None:
        """What losses are compared with in the last round; None before there is anything to take it from."""
        if self.spread is not None:
            return self.spread
        return float(np.median(self.scales)) if self.scales else None

    def _add(self, updates: Sequence[ClientUpdate]) -> None:
        ids, losses = zip(*((update.client_id, update.metrics[self.loss]) for update in updates), strict=True)
        apart = _cusum.offsets(losses, self._takes_logs(losses))
        self.scales.append(float(_cusum.round_scale(apart)))
        spread = self.spread_now()
        assert spread is not None
        z = _cusum.standardized(apart, spread)
        for sums, side in ((self.up, z), (self.down, -z)):
            before = np.array([sums.get(i, 0.0) for i in ids])
            sums.update(zip(ids, _cusum.added(before, side, self.k, self.h).tolist(), strict=True))

    def _takes_logs(self, losses: Sequence[float]) -> bool:
        """Whether logarithms are compared; see the class."""
        if self.calibration is None and self.logs is not False:
            mostly_positive = sum(loss > 0 for loss in losses) > len(losses) / 2
            if self.logs and not mostly_positive:
                self.up, self.down, self.scales, self.flagged = {}, {}, [], frozenset()
            self.logs = mostly_positive
        return bool(self.logs)

    def facts(self) -> Mapping[str, Any]:
        """The spread, and where it comes from."""
        common = {"loss": self.loss, "k": self.k, "h": self.h}
        if self.spread is None:
            return {"spread": "this run's own", **common}
        if self.calibration is None:
            return {"spread": self.spread, "from": "the setting", **common}
        of = self.calibration
        about = {"scale": of.scale, "control_runs": len(of.runs), "seeds": list(of.seeds), "rms": of.rms}
        return {"spread": self.spread, "from": self.file, **common, **about}

    def warnings(self) -> Sequence[str]:
        """The false alarms to expect without a spread; a calibration with another number of clients."""
        if self.spread is None:
            # Simulated with 4 to 64 clients; tests/defenses/test_cusum.py repeats it.
            share = "7 to 8 % of federations of 200 rounds (at k=3.5, h=5)"
            how = "spread is not set (python -m fedgan.calibrate measures it)"
            return [f"{how}: where honest clients' losses differ for good, one of them is flagged in {share}"]
        if self.calibration is not None and self.calibration.num_clients != self.num_clients:
            measured = self.calibration.num_clients
            return [f"spread was measured with {measured} clients, and this federation has {self.num_clients}"]
        return []

    def measured_on(self) -> Mapping[str, Any]:
        """The settings of the control runs."""
        return {} if self.calibration is None else self.calibration.settings

    def receipt(self) -> Mapping[str, float]:
        """The threshold h, and the spread of the round."""
        spread = self.spread_now()
        return {"threshold": self.h} | ({} if spread is None else {"spread": spread})

    def client_receipts(self) -> Mapping[int, Mapping[str, float]]:
        """Each client's C."""
        return {i: {"losses_score": self.evidence_of(i)} for i in self.present}

    def state_dict(self) -> dict[str, Any]:
        """Both sums of each client, the scale of each round, flags, and what losses are compared with."""
        return {
            "up": dict(self.up),
            "down": dict(self.down),
            "scales": list(self.scales),
            "flagged": sorted(self.flagged),
            "logs": self.logs,
            "spread": self.spread,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore them.

        Raises:
            ValueError: in one line, if the file of ``spread`` has changed since.
        """
        check(state["spread"] == self.spread, "spread", f"{state['spread']}, as the run began with", self.spread)
        self.up, self.down, self.scales = dict(state["up"]), dict(state["down"]), list(state["scales"])
        self.flagged, self.logs = frozenset(state["flagged"]), state["logs"]
