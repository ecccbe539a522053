"""What a report is made of: headed sections with notes, cards, tables, charts and pictures."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import pandas as pd
from matplotlib.figure import Figure


@dataclass(frozen=True)
class Note:
    """A paragraph."""

    text: str
    kind: ClassVar[str] = "note"


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        name: of its files, when it is exported.
        caption: a sentence.
        frame: the values as they are.
        shown: the same as a reader sees it, all text; None: ``frame``, its numbers to four digits.
        marked: rows (by position) about a malicious client.
    """

    name: str
    caption: str
    frame: pd.DataFrame
    shown: pd.DataFrame | None = None
    marked: Sequence[int] = ()
    kind: ClassVar[str] = "table"

    @property
    def display(self) -> pd.DataFrame:
        """What a reader sees, all text."""
        return self.frame.map(shown) if self.shown is None else self.shown

    @property
    def numeric(self) -> list[bool]:
        """Of each shown column, whether it is one of numbers, to be aligned to the right."""
        return [name in self.frame and pd.api.types.is_numeric_dtype(self.frame[name]) for name in self.display.columns]


@dataclass(frozen=True)
class Chart:
    """A picture drawn by matplotlib."""

    name: str
    caption: str
    figure: Figure
    kind: ClassVar[str] = "chart"


@dataclass(frozen=True)
class Card:
    """A run in words.

    Attributes:
        title: its name.
        status: how it ended.
        lines: what was asked, as pairs of a word and what there is to say.
        verdict: what was found.
        notes: what a reader should know before trusting it.
        command: what repeats it; None if unknown.
        folded: whether all but the verdict is folded until someone opens it.
    """

    title: str
    status: str
    lines: Sequence[tuple[str, str]]
    verdict: str
    notes: Sequence[str]
    command: str | None
    folded: bool = False
    kind: ClassVar[str] = "card"


@dataclass(frozen=True)
class Frame:
    """One picture of a gallery.

    Attributes:
        round: after which it was drawn; None of real images.
        uri: the picture, as a data URI.
        width: in pixels, of the picture as it was drawn, like all numbers here.
        height: see above.
        marks: boxes around the trigger's place on each image: left, top, width, height.
    """

    round: int | None
    uri: str
    width: int
    height: int
    marks: Sequence[tuple[int, int, int, int]] = ()


@dataclass(frozen=True)
class Gallery:
    """Pictures of one run over its rounds, or the real images; shown one at a time."""

    title: str
    frames: Sequence[Frame]
    kind: ClassVar[str] = "gallery"


@dataclass(frozen=True)
class Galleries:
    """All galleries; one slider moves them."""

    galleries: Sequence[Gallery]
    kind: ClassVar[str] = "galleries"

    @property
    def rounds(self) -> list[int]:
        """All rounds that any of them shows."""
        return sorted({each.round for one in self.galleries for each in one.frames if each.round is not None})

    @property
    def marked(self) -> bool:
        """Whether the trigger's place is known anywhere."""
        return any(each.marks for one in self.galleries for each in one.frames)


@dataclass(frozen=True)
class Picture:
    """A picture that something else has left in a run's folder."""

    title: str
    frame: Frame
    kind: ClassVar[str] = "picture"


@dataclass(frozen=True)
class Fold:
    """Blocks under a title, folded until someone opens it."""

    title: str
    blocks: Sequence["Block"]
    kind: ClassVar[str] = "fold"


Block = Note | Table | Chart | Card | Galleries | Picture | Fold


@dataclass(frozen=True)
class Section:
    """A headed part of the report."""

    name: str
    title: str
    blocks: Sequence[Block] = field(default_factory=list)


def flat(blocks: Sequence[Block]) -> Iterator[Block]:
    """All blocks in their order, those in folds too."""
    for block in blocks:
        yield block
        if isinstance(block, Fold):
            yield from flat(block.blocks)


def shown(value: object) -> str:
    """A value as a reader sees it: numbers to four digits, a dash for none.

    Example:
        >>> [shown(value) for value in (0.123456, 1234.5, 3, 4.0, True, None, pd.NA, "none")]
        ['0.1235', '1234', '3', '4', 'yes', '–', '–', 'none']
    """
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None or value is pd.NA or (isinstance(value, float) and value != value):
        return "–"
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 1000 else f"{value:.0f}"
    return str(value)
