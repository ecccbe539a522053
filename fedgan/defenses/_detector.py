"""What detectors on reported losses have in common: what they need of a federation, and of the clients."""

from abc import ABC
from dataclasses import replace
from typing import Annotated

from annotated_types import Interval

from fedgan.core.checks import check_at_least, check_at_most
from fedgan.core.round import check_clients
from fedgan.defenses.base import Defense
from fedgan.gan.recipe import Recipe

Samples = Annotated[int, Interval(ge=1, le=1_000_000)]


class LossDetector(Defense, ABC):
    """Reads one reported loss of each client: refused where nobody could ever be flagged.

    Attributes:
        name: in the configuration.
        warmup: the first rounds, which are left out.
        rounds_needed: how many rounds follow them before anybody can be flagged: 2 where detection starts in a
            round t > warmup.
        because: the settings that ``rounds_needed`` depends on, for errors.
    """

    name: str
    warmup: int
    rounds_needed = 2
    because = ""

    def setup(self, *, num_clients: int, clients_per_round: int, rounds: int) -> None:
        """Refuse a federation of which no single client is fewer than half, or that ends before anybody is flagged."""
        needed, why = self.rounds_needed, f" for defense={self.name}"
        check_clients(
            3,
            why,
            num_clients=num_clients,
            clients_per_round=clients_per_round,
            of_round=", which acts on fewer than half of those present",
        )
        check_at_least("fl.rounds", rounds, needed, why + self.because)
        check_at_most("warmup", self.warmup, rounds - needed, f", so that it can act in fl.rounds={rounds}")


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
