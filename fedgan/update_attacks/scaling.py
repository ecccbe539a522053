"""Model replacement: updates scaled so that they outweigh the others (Bagdasaryan et al. 2020, Equation 3)."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from fedgan.core.checks import check_number
from fedgan.core.round import Round
from fedgan.core.update import ClientUpdate
from fedgan.update_attacks.base import UpdateAttack


class Scaling(UpdateAttack):
    """Each malicious client sends G + factor (X - G) in place of X.

    Args:
        factor: gamma, above 0; N over the number of malicious clients replaces the aggregate by X if all clients
            have the same weight and the benign ones have converged.
        window: ``start``, ``stop`` and ``every``, see ``UpdateAttack``.
    """

    def __init__(self, *, factor: float, **window: Any) -> None:
        super().__init__(**window)
        check_number("update_attack.factor", factor, low=0.0, high=1e6, low_allowed=False)
        self.factor = factor

    def __str__(self) -> str:
        """Such as ``updates scaled by 4``."""
        return f"updates scaled by {self.factor:g}"

    def alter(
        self, own: Sequence[ClientUpdate], known: Sequence[ClientUpdate], round_: Round
    ) -> Sequence[ClientUpdate]:
        """See ``UpdateAttack``."""
        scaled = [{name: d * self.factor for name, d in round_.delta(update.state).items()} for update in own]
        return [replace(u, state=round_.moved(delta, u.state)) for u, delta in zip(own, scaled, strict=True)]
