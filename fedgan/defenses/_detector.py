"""What detectors on reported losses have in common: what they need of a federation, and of the clients."""

from dataclasses import replace
from typing import Annotated

from annotated_types import Interval

from fedgan.core.checks import check
from fedgan.gan.recipe import Recipe

Samples = Annotated[int, Interval(ge=1, le=1_000_000)]


def check_can_act(name: str, *, num_clients: int, clients_per_round: int) -> None:
    """Refuse a federation of which no single client is fewer than half.

    Raises:
        ValueError: in one line.
    """
    check(num_clients >= 3, "fl.num_clients", f"at least 3 for defense={name}", num_clients)
    allowed = f"at least 3 for defense={name}, which acts on fewer than half of those present"
    check(clients_per_round >= 3, "fl.clients_per_round", allowed, clients_per_round)


def check_warmup(name: str, warmup: int, rounds: int) -> None:
    """Refuse a warm-up that no round t > m follows.

    Raises:
        ValueError: in one line.
    """
    check(rounds >= 2, "fl.rounds", f"at least 2 for defense={name}", rounds)
    allowed = f"at most {rounds - 2} so that a round t > warmup comes in fl.rounds={rounds}"
    check(warmup <= rounds - 2, "warmup", allowed, warmup)


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
