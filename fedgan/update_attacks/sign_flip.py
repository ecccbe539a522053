"""Updates turned around (Li et al. 2019, RSA, the sign-flipping attack)."""

from collections.abc import Sequence
from dataclasses import replace

from fedgan.core.arguments import Positive, component
from fedgan.core.round import Round
from fedgan.core.update import ClientUpdate
from fedgan.update_attacks.base import UpdateAttack


@component
class SignFlip(UpdateAttack):
    """Each malicious client sends G - factor (X - G) in place of X.

    It is the step that is turned around, not the model: -X is no generator.

    Args:
        factor: c, above 0; 1 undoes as much as the client has learned.
    """

    factor: Positive = 1.0

    def __str__(self) -> str:
        """Such as ``updates turned around, times 1``."""
        return f"updates turned around, times {self.factor:g}"

    def alter(
        self, own: Sequence[ClientUpdate], known: Sequence[ClientUpdate], round_: Round
    ) -> Sequence[ClientUpdate]:
        """See ``UpdateAttack``."""
        return [replace(update, state=round_.scaled(update.state, -self.factor)) for update in own]
