"""How often FedDetect's rule flags somebody although all clients are alike: losses drawn from one distribution.

python -m experiments.feddetect_control
"""

import argparse
import sys
from typing import Annotated

import numpy as np
from annotated_types import Ge
from rich.console import Console
from rich.progress import track
from rich.table import Table

from fedgan.config.screen import screen
from fedgan.core.arguments import NonNegative, validated


def simulate(num_clients: int, decay: float, seed: int, *, rounds: int, warmup: int) -> tuple[float, float]:
    """Share of the rounds after the warm-up in which somebody is flagged; effective clients at the end."""
    from fedgan.core.round import Round
    from fedgan.core.update import ClientUpdate, effective_clients
    from fedgan.defenses.feddetect import FedDetect

    rng = np.random.default_rng(seed)
    defense = FedDetect(warmup=warmup, decay=decay)
    defense.setup(num_clients=num_clients, clients_per_round=num_clients, rounds=rounds)
    equal = dict.fromkeys(range(num_clients), 1.0 / num_clients)
    acted = 0
    for t in range(rounds):
        losses = rng.normal(2.0, 0.1, num_clients)
        updates = [ClientUpdate(i, 1, {}, {"loss_g_final": float(loss)}) for i, loss in enumerate(losses)]
        decision = defense.reweight(updates, equal, Round(t, {}, frozenset(), num_clients))
        acted += bool(decision.flagged)
    return acted / (rounds - warmup - 1), effective_clients(list(decision.weights.values()))


def main() -> None:
    """Print the table: mean and standard deviation over seeds."""
    parser = argparse.ArgumentParser(
        "python -m experiments.feddetect_control",
        description=(__doc__ or "").partition("\n")[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--rounds", type=int, default=100, help="of each federation, at least WARMUP + 2")
    parser.add_argument("--warmup", type=int, default=10, help="rounds before detection starts, at least 0")
    parser.add_argument("--seeds", type=int, default=3, help="federations of each setting, at least 2")
    arguments = parser.parse_args()
    try:
        validated("--warmup", NonNegative, arguments.warmup)
        validated("--rounds", Annotated[int, Ge(arguments.warmup + 2)], arguments.rounds)
        validated("--seeds", Annotated[int, Ge(2)], arguments.seeds)
    except ValueError as error:
        sys.exit(f"error: {error}")
    screen().print(table(arguments.rounds, arguments.warmup, arguments.seeds))


def table(rounds: int, warmup: int, seeds: int) -> Table:
    """A row for each number of clients and decay."""
    made = Table(title=f"FedDetect with no attacker: {rounds} rounds, warm-up {warmup}, {seeds} seeds, normal losses")
    for title in ("clients", "decay", "rounds with a flag", "effective clients at the end"):
        made.add_column(title, justify="right")
    for num_clients, decay in ((4, 0.8), (4, 0.9), (8, 0.8), (8, 0.9)):
        watched = track(range(seeds), f"{num_clients} clients, decay {decay}", console=Console(stderr=True))
        found = [simulate(num_clients, decay, seed, rounds=rounds, warmup=warmup) for seed in watched]
        by_seed = np.array(found)  # (seeds, 2)
        cells = [f"{m:.2f} ± {s:.2f}" for m, s in zip(by_seed.mean(0), by_seed.std(0, ddof=1), strict=True)]
        made.add_row(str(num_clients), str(decay), *cells)
    return made


if __name__ == "__main__":
    main()
