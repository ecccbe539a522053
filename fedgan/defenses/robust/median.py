"""The coordinate median in place of the mean (Yin et al. 2018, Definition 1)."""

from collections.abc import Mapping, Sequence

from fedgan.core.round import Round
from fedgan.core.update import ClientUpdate
from fedgan.defenses.base import Aggregate
from fedgan.defenses.robust.coordinates import by_coordinate, middle
from fedgan.defenses.robust.rule import RobustRule


class Median(RobustRule):
    """Each coordinate becomes the median of the clients' values, of floating-point buffers too.

    With an even number of clients that is the mean of the two middle values. Whole-number buffers take the mean,
    rounded. No client has a weight: clients.csv leaves it empty. It tolerates fewer than half malicious.
    """

    def aggregate(self, updates: Sequence[ClientUpdate], weights: Mapping[int, float], round_: Round) -> Aggregate:
        """See ``Defense``."""
        return Aggregate(by_coordinate([update.state for update in updates], middle), weights=None)
