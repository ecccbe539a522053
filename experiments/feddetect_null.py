"""How often FedDetect's rule flags somebody although all clients are alike: losses drawn from one distribution.

python -m experiments.feddetect_null
"""

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from fedgan.core.round import Round
from fedgan.core.update import ClientUpdate, effective_clients
from fedgan.defenses.feddetect import FedDetect

ROUNDS, SEEDS, WARMUP = 100, 3, 10


def simulate(num_clients: int, decay: float, seed: int) -> tuple[float, float]:
    """Share of the rounds after the warm-up in which somebody is flagged; effective clients at the end."""
    rng = np.random.default_rng(seed)
    defense = FedDetect(warmup=WARMUP, decay=decay)
    defense.setup(num_clients=num_clients, clients_per_round=num_clients, rounds=ROUNDS)
    equal = dict.fromkeys(range(num_clients), 1.0 / num_clients)
    acted = 0
    for t in range(ROUNDS):
        losses = rng.normal(2.0, 0.1, num_clients)
        updates = [ClientUpdate(i, 1, {}, {"loss_g_final": float(loss)}) for i, loss in enumerate(losses)]
        decision = defense.reweight(updates, equal, Round(t, {}, frozenset(), num_clients))
        acted += bool(decision.flagged)
    return acted / (ROUNDS - WARMUP - 1), effective_clients(list(decision.weights.values()))


def main() -> None:
    """Print the table: mean and standard deviation over seeds."""
    table = Table(title=f"FedDetect with no attacker: {ROUNDS} rounds, warm-up {WARMUP}, {SEEDS} seeds, normal losses")
    for title in ("clients", "decay", "rounds with a flag", "effective clients at the end"):
        table.add_column(title, justify="right")
    for num_clients in (4, 8):
        for decay in (0.8, 0.9):
            description = f"{num_clients} clients, decay {decay}"
            results = np.array([simulate(num_clients, decay, seed) for seed in track(range(SEEDS), description)])
            cells = [f"{m:.2f} ± {s:.2f}" for m, s in zip(results.mean(0), results.std(0, ddof=1), strict=True)]
            table.add_row(str(num_clients), str(decay), *cells)
    Console().print(table)


if __name__ == "__main__":
    main()
