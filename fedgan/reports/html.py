"""The report as one HTML file, which asks nobody for anything: style, script, charts and pictures are in it."""

import base64
import hashlib
import re
from collections.abc import Sequence
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Annotated

from annotated_types import Predicate
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from fedgan.core.arguments import Allowed, validated
from fedgan.core.files import atomic_write
from fedgan.reports.blocks import Section
from fedgan.reports.figures import svg

MARK = '<meta name="generator" content="fedgan.report">'  # by which a report is known as one
SHORT_CELL, LONG_CELL = 16, 28  # characters
LONGEST_HEAD = 2000  # bytes within which a report has its mark


def is_report(file: Path) -> bool:
    """Whether fedgan.report has written this file."""
    try:
        with file.open("rb") as stream:
            return MARK.encode() in stream.read(LONGEST_HEAD)
    except OSError:  # a folder, or not to be read
        return False


def _is_free(out: Path) -> bool:
    return not out.is_symlink() and (not out.exists() or is_report(out))


PageFile = Annotated[Path, Predicate(_is_free), Allowed("a new file, or one that fedgan.report has written")]


def page(parts: Sequence[Section], *, title: str, about: str) -> str:
    """The whole file.

    Args:
        parts: of the report.
        title: its headline.
        about: what it is about, in a line.
    """
    script = _file("report.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return (
        _environment()
        .get_template("report.html.j2")
        .render(
            parts=parts,
            title=title,
            about=about,
            mark=Markup(MARK),
            written=datetime.now().strftime("%Y-%m-%d %H:%M"),
            style=Markup(_file("report.css")),
            script=Markup(script),
            script_hash=f"sha256-{digest}",
        )
    )


def write_page(text: str, out: Path) -> None:
    """Write the file, whole or not at all.

    Raises:
        ValueError: in one line, if something else than a report is there.
    """
    validated("out", PageFile, out)
    atomic_write(out, lambda file: _fill(file, text))


def _fill(file: Path, text: str) -> None:
    file.write_text(text, encoding="utf-8")


def breakable(text: str) -> Markup:
    """A text whose long names a browser may break, after a sign that a letter follows.

    Example:
        >>> breakable("attack.poison_share <b>"), breakable("-0.5e-3")
        (Markup('attack.<wbr>poison_<wbr>share &lt;b&gt;'), Markup('-0.5e-3'))
    """
    return Markup(re.sub(r"([_./+=-])(?=[^\W\d])", r"\1<wbr>", str(escape(text))))


def cell_width(text: str) -> str:
    """How a cell of text may break: a short one nowhere, a long one (a name, a sentence) not into a narrow column.

    Example:
        >>> cell_width("2 of 2"), cell_width("0.038 ± 0.018 (n = 2)"), cell_width("feddetect/attack.size-2+seed-0")
        ('short', 'medium', 'long')
    """
    length = len(text.partition("\n")[0])
    return "short" if length <= SHORT_CELL else "medium" if length < LONG_CELL else "long"


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("fedgan.reports", "page"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["drawn"] = lambda chart: Markup(svg(chart.figure, chart.name, chart.caption))
    environment.filters["breakable"] = breakable
    environment.filters["cell_width"] = cell_width
    return environment


@cache
def _file(name: str) -> str:
    return (Path(__file__).parent / "page" / name).read_text(encoding="utf-8")
