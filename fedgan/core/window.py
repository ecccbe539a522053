"""The rounds in which an attack acts."""

from dataclasses import dataclass

from fedgan.core.arguments import Count, NonNegative, checked, component
from fedgan.core.checks import check


@checked
@dataclass(frozen=True)
class Window:
    """Rounds start, start + every, start + 2 every, ... below stop.

    Args:
        start: the first round in which the attack acts, counted from 0.
        stop: the first round in which it does not any more, above ``start``; None for never.
        every: once in this many rounds from start on, at least 1.

    Raises:
        ValueError: in one line, if one is out of range.

    Example:
        >>> [t for t in range(8) if Window(start=1, stop=6, every=2).covers(t)]
        [1, 3, 5]
    """

    start: NonNegative = 0
    stop: Count | None = None
    every: Count = 1

    def __post_init__(self) -> None:
        check(self.stop is None or self.stop > self.start, "stop", f"above start={self.start}, or null", self.stop)

    def __str__(self) -> str:
        """Such as ``from round 2 to 8, every 3 rounds``; empty for all rounds.

        Example:
            >>> str(Window(start=2, every=3)), str(Window(stop=6)), str(Window())
            ('from round 2, every 3 rounds', 'from round 0 to 5', '')
        """
        if self == Window():
            return ""
        end = "" if self.stop is None else f" to {self.stop - 1}"
        return f"from round {self.start}{end}" + (f", every {self.every} rounds" if self.every > 1 else "")

    def covers(self, round_: int) -> bool:
        """Whether the attack acts in this round."""
        before = self.stop is None or round_ < self.stop
        return self.start <= round_ and before and (round_ - self.start) % self.every == 0

    def check_reached(self, rounds: int, *, first: int = 0, why: str = "") -> None:
        """Refuse a window that covers none of the run's rounds.

        Args:
            rounds: of the run.
            first: the first round in which the attack can act, whatever its window.
            why: what the error says of that, where it is not 0.

        Raises:
            ValueError: in one line.
        """
        acts = any(self.covers(t) for t in range(first, rounds))
        never = f"below fl.rounds={rounds}, or the attack never acts"
        check(acts, "start", f"such that the attack acts {why}, in fl.rounds={rounds}" if why else never, self.start)


@component
class Windowed:
    """What acts in some rounds of a run: attacks, on images or on updates.

    Args:
        start: the first round in which it acts; see ``Window``, as for the next two.
        stop: the first round in which it does not act any more; None for never.
        every: it acts once in this many rounds.
    """

    start: NonNegative = 0
    stop: Count | None = None
    every: Count = 1

    def __post_init__(self) -> None:
        Window(self.start, self.stop, self.every)  # refuses what is no window, before anything is trained

    @property
    def window(self) -> Window:
        """The rounds: of the fields, so that no subclass can lose them in an ``__init__`` of its own."""
        return Window(self.start, self.stop, self.every)
