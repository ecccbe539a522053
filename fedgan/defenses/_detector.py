"""What detectors on reported losses have in common: what they need of a federation, and of the clients."""

from dataclasses import replace
from typing import Annotated

from annotated_types import Interval

from fedgan.core.checks import check_at_least, check_at_most
from fedgan.core.round import check_clients
from fedgan.gan.recipe import Recipe

Samples = Annotated[int, Interval(ge=1, le=1_000_000)]


def check_can_act(name: str, *, num_clients: int, clients_per_round: int) -> None:
    """Refuse a federation of which no single client is fewer than half.

    Raises:
        ValueError: in one line.
    """
    check_clients(
        3,
        f" for defense={name}",
        num_clients=num_clients,
        clients_per_round=clients_per_round,
        of_round=", which acts on fewer than half of those present",
    )


def check_warmup(name: str, warmup: int, rounds: int) -> None:
    """Refuse a warm-up that no round t > m follows.

    Raises:
        ValueError: in one line.
    """
    why = f" so that a round t > warmup comes in fl.rounds={rounds}"
    check_rounds(2, name, warmup=warmup, rounds=rounds, why=why)


def check_rounds(needed: int, name: str, *, warmup: int, rounds: int, why: str) -> None:
    """Refuse a federation, or a warm-up, that leaves fewer rounds than a detector needs before it can flag anybody.

    Args:
        needed: how many rounds must follow the first ``warmup``.
        name: of the defense, with the settings that ``needed`` depends on.
        warmup: first rounds, which are left out.
        rounds: of the run.
        why: what the error says of the longest warm-up.

    Raises:
        ValueError: in one line.
    """
    check_at_least("fl.rounds", rounds, needed, f" for defense={name}")
    check_at_most("warmup", warmup, rounds - needed, why)


def with_loss(recipe: Recipe, loss: str, samples: int) -> Recipe:
    """The recipe with which clients report a loss; those of training are reported anyway.

    Args:
        recipe: the recipe so far.
        loss: its name in ``ClientUpdate.metrics``.
        samples: latents over which clients take it.
    """
    if loss == "loss_g_final":
        return replace(recipe, loss_samples=max(samples, recipe.loss_samples))
    if loss == "loss_g_arrival":
        return replace(recipe, arrival_samples=max(samples, recipe.arrival_samples))
    return recipe
