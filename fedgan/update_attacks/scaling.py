"""Model replacement: updates scaled so that they outweigh the others (Bagdasaryan et al. 2020, Equation 3)."""

from collections.abc import Sequence
from dataclasses import replace

from fedgan.core.arguments import Positive, component
from fedgan.core.round import Round
from fedgan.core.update import ClientUpdate
from fedgan.update_attacks.base import UpdateAttack


@component
class Scaling(UpdateAttack):
    """Each malicious client sends G + factor (X - G) in place of X.

    Args:
        factor: gamma, above 0; N over the number of malicious clients replaces the aggregate by X if all clients
            have the same weight and the benign ones have converged.
    """

    factor: Positive

    def __str__(self) -> str:
        """Such as ``updates scaled by 4``."""
        return f"updates scaled by {self.factor:g}"

    def alter(
        self, own: Sequence[ClientUpdate], known: Sequence[ClientUpdate], round_: Round
    ) -> Sequence[ClientUpdate]:
        """See ``UpdateAttack``."""
        return [replace(update, state=round_.scaled(update.state, self.factor)) for update in own]
