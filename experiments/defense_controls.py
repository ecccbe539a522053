"""What robust rules do where nobody attacks: how many clients they drop, and what they leave of the mean step.

python -m experiments.defense_controls

Clients' updates are drawn: delta_i = u + e_i in 1,000 coordinates, u common to all and e_i a client's own, both
Gaussian with variance 1/1,000 (so of length 1 or nearly), new in each draw, from numpy's generator for (SEED, N). Each
draw is the first round of a federation, and every client has the same weight before a rule acts.
"""

import argparse
import copy
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf
from rich.console import Console
from rich.progress import track

from experiments.paper.writing import write_csv
from fedgan.config.refusals import CONF
from fedgan.core.arguments import Count, Seed, validated
from fedgan.core.round import Round
from fedgan.core.update import ClientUpdate
from fedgan.defenses.base import Defense
from fedgan.federated.server import Server
from fedgan.federated.weighting import Uniform

RESULTS = Path(__file__).parent / "results/defense_controls"
CLIENTS = (4, 8, 16)
COORDINATES = 1_000
Row = dict[str, object]


def robust_rules() -> dict[str, Defense]:
    """Each robust rule of conf/defense/ with its settings there, by name; none for which the server itself trains."""
    parts = {file.stem: OmegaConf.load(file) for file in sorted(Path(CONF, "defense").glob("*.yaml"))}
    rules = {
        name: part for name, part in parts.items() if "_target_: fedgan.defenses.robust." in OmegaConf.to_yaml(part)
    }
    made = {name: instantiate(part) for name, part in rules.items()}
    return {name: rule for name, rule in made.items() if rule.server_training() is None}


def ready(rule: Defense, num_clients: int) -> bool:
    """Whether a rule can be set up for a federation of this size."""
    try:
        rule.setup(num_clients=num_clients, clients_per_round=num_clients, rounds=2)
    except ValueError:
        return False
    return True


def simulate(rule: Defense, num_clients: int, draws: int, seed: int) -> dict[str, float]:
    """Means over the draws.

    Returns:
        ``dropped``: share of the clients who are dropped; ``length``: |ag - G| / |mean delta|; ``along``: the part of
        ag - G that goes along the mean delta, over the same.
    """
    rng = np.random.default_rng((seed, num_clients))
    found = []
    for draw in range(draws):
        common, own = rng.normal(size=COORDINATES), rng.normal(size=(num_clients, COORDINATES))
        deltas = (common + own) / COORDINATES**0.5
        round_ = Round(draw, {"w": torch.zeros(COORDINATES).double()}, frozenset({"w"}), num_clients, seed)
        updates = [ClientUpdate(i, 1, {"w": torch.from_numpy(delta)}, {}) for i, delta in enumerate(deltas)]
        state, decision = Server({"rule": copy.deepcopy(rule)}, Uniform()).serve(updates, round_)
        step, mean = state["w"].numpy(), deltas.mean(axis=0)
        square = mean @ mean
        found.append((len(decision.flagged) / num_clients, (step @ step / square) ** 0.5, step @ mean / square))
    return dict(zip(("dropped", "length", "along"), np.mean(found, axis=0).tolist(), strict=True))


def measure(draws: int, seed: int) -> list[Row]:
    """A row for each rule and number of clients that it can have."""
    cases = [(name, rule, n) for name, rule in robust_rules().items() for n in CLIENTS if ready(rule, n)]
    rows: list[Row] = []
    for name, rule, num_clients in track(cases, "rules", console=Console(stderr=True)):
        means = {key: round(value, 4) for key, value in simulate(rule, num_clients, draws, seed).items()}
        rows.append({"defense": name, "clients": num_clients, "draws": draws, "seed": seed, **means})
    return rows


def comment(rows: Sequence[Mapping[str, str]]) -> str:
    """The line about a rule's control in its .yaml, from its rows of the results.

    Example:
        >>> comment([{"clients": "8", "dropped": "0.125", "length": "1.008", "along": "0.9"}])
        '# Control: dropped, step, along the mean (experiments/defense_controls.py): N=8: 12.5 %, 1.01, 0.90.'
    """
    said = []
    for row in rows:
        dropped, length, along = (float(row[key]) for key in ("dropped", "length", "along"))
        said.append(f"N={row['clients']}: {100 * dropped:.1f} %, {length:.2f}, {along:.2f}")
    return f"# Control: dropped, step, along the mean (experiments/defense_controls.py): {'; '.join(said)}."


def main() -> None:
    """Measure all rules and write ``controls.csv``."""
    parser = argparse.ArgumentParser(
        "python -m experiments.defense_controls",
        description=(__doc__ or "").partition("\n")[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--draws", type=int, default=1_000, help="of each rule and number of clients, at least 1")
    parser.add_argument("--seed", type=int, default=0, help="of the draws, at least 0")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the results")
    arguments = parser.parse_args()
    try:
        validated("--draws", Count, arguments.draws)
        validated("--seed", Seed, arguments.seed)
    except ValueError as error:
        sys.exit(f"error: {error}")
    rows = measure(arguments.draws, arguments.seed)
    arguments.out.mkdir(parents=True, exist_ok=True)
    write_csv(arguments.out / "controls.csv", rows)


if __name__ == "__main__":
    main()
