"""Updates turned around (Li et al. 2019, RSA, the sign-flipping attack)."""

from collections.abc import Sequence
from dataclasses import replace

from fedgan.core.arguments import Count, NonNegative, Positive, checked
from fedgan.core.round import Round
from fedgan.core.update import ClientUpdate
from fedgan.update_attacks.base import UpdateAttack


@checked
class SignFlip(UpdateAttack):
    """Each malicious client sends G - factor (X - G) in place of X.

    It is the step that is turned around, not the model: -X is no generator.

    Args:
        factor: c, above 0; 1 undoes as much as the client has learned.
        start: see ``UpdateAttack``, as the next two.
        stop: see there.
        every: see there.
    """

    def __init__(
        self, *, factor: Positive = 1.0, start: NonNegative = 0, stop: Count | None = None, every: Count = 1
    ) -> None:
        super().__init__(start=start, stop=stop, every=every)
        self.factor = factor

    def __str__(self) -> str:
        """Such as ``updates turned around, times 1``."""
        return f"updates turned around, times {self.factor:g}"

    def alter(
        self, own: Sequence[ClientUpdate], known: Sequence[ClientUpdate], round_: Round
    ) -> Sequence[ClientUpdate]:
        """See ``UpdateAttack``."""
        return [replace(update, state=round_.scaled(update.state, -self.factor)) for update in own]
