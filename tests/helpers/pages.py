"""An HTML page as a browser reads it: its tables by caption, its text, what it refers to."""

from html.parser import HTMLParser
from pathlib import Path


class Page(HTMLParser):
    """A page, read.

    Attributes:
        source: the page as it is written.
        tables: by caption, the rows of text, the head first.
        text: all that is shown.
        references: every value of an attribute that a browser may load from.
        tags: the names of all elements, in order.
        ids: of all elements.
    """

    LOADING = ("src", "href", "srcset", "data", "action", "poster", "xlink:href", "background")

    def __init__(self, source: str) -> None:
        super().__init__()
        self.tables: dict[str, list[list[str]]] = {}
        self.text, self._caption = "", ""
        self.references: list[str] = []
        self.tags: list[str] = []
        self.ids: list[str] = []
        self._open: list[str] = []
        self.source = source
        self.feed(source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.references += [str(value) for name, value in attrs if name in self.LOADING]
        self.ids += [str(value) for name, value in attrs if name == "id"]
        if tag == "figcaption":
            self._caption = ""
        if tag == "table":
            self.tables[self._caption] = []
        if tag == "tr":
            self.tables[self._caption].append([])
        if tag in ("td", "th"):
            self.tables[self._caption][-1].append("")
        if tag == "small":
            self.tables[self._caption][-1][-1] += "\n"
        self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        if "script" in self._open or "style" in self._open:
            return
        self.text += data
        if "figcaption" in self._open:
            self._caption += data
        elif "td" in self._open or "th" in self._open:
            self.tables[self._caption][-1][-1] += data

    def table(self, start: str) -> list[dict[str, str]]:
        """The rows of the one table whose caption begins so, by the head's names."""
        ((head, *rows),) = [table for caption, table in self.tables.items() if caption.startswith(start)]
        return [dict(zip(head, row, strict=True)) for row in rows]


def read_page(file: Path) -> Page:
    """The page in a file."""
    return Page(file.read_text(encoding="utf-8"))
