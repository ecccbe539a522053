"""A report's tables as CSV, Markdown and LaTeX, and its charts as PNG and PDF, in a folder next to it."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path

from fedgan.core.files import atomic_write
from fedgan.core.folders import claim
from fedgan.reports.assemble import exported
from fedgan.reports.blocks import Chart, Section, Table
from fedgan.reports.latex import latex

TABLE_KINDS, CHART_KINDS = ("csv", "md", "tex"), ("png", "pdf")


def files_folder(out: Path) -> Path:
    """Where the files of a report are.

    Example:
        >>> files_folder(Path("sweep/report.html")).name
        'report_files'
    """
    return out.with_name(f"{out.stem}_files")


def export(parts: Sequence[Section], folder: Path) -> list[Path]:
    """Write every table and chart, each whole or not at all.

    Args:
        parts: of the report.
        folder: which is made if absent; what fedgan did not write in it stays.

    Returns:
        The files.

    Raises:
        ValueError: in one line, if another's file has the name of one of these.
    """
    writers = {folder / name: write for name, write in _writers(parts).items()}
    claim(folder, [file.name for file in writers], "out")
    for file, write in writers.items():
        atomic_write(file, write)
    return list(writers)


def _writers(parts: Sequence[Section]) -> dict[str, Callable[[Path], None]]:
    """By file name, what fills it. Two blocks of one name are told apart by a number."""
    found: dict[str, Callable[[Path], None]] = {}
    for block in exported(parts):
        stem, kinds = file_stem(block.name), TABLE_KINDS if isinstance(block, Table) else CHART_KINDS
        number = next(i for i in range(1, 10_000) if f"{_numbered(stem, i)}.{kinds[0]}" not in found)
        for kind in kinds:
            found[f"{_numbered(stem, number)}.{kind}"] = _writer(block, kind)
    return found


def _numbered(stem: str, number: int) -> str:
    return stem if number == 1 else f"{stem}_{number}"


def file_stem(name: str) -> str:
    """A name that a file can have, and LaTeX can read.

    Example:
        >>> file_stem("clients_defense-none+seed-1/肺 炎")
        'clients_defense-none-seed-1'
    """
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.")[:120] or "part"


def _writer(block: Table | Chart, kind: str) -> Callable[[Path], None]:
    if isinstance(block, Chart):
        return lambda file: block.figure.savefig(file, format=kind, dpi=200)
    text = {"csv": csv, "md": markdown, "tex": latex}[kind]
    content = text(block)

    def write(file: Path) -> None:
        file.write_text(content, encoding="utf-8")

    return write


def csv(table: Table) -> str:
    """The values as they are, not rounded."""
    return str(table.frame.to_csv(index=False, lineterminator="\n"))


def markdown(table: Table) -> str:
    """What a reader sees, as a table of GitHub's Markdown, its caption above."""
    frame = table.display.map(_one_line).rename(columns=_cell).map(_cell)
    aligned = ["right" if number else "left" for number in table.numeric]
    body = frame.to_markdown(index=False, disable_numparse=True, colalign=aligned)
    return f"{table.caption}\n\n{body}\n"


def _cell(text: str) -> str:
    return str(text).replace("\\", "\\\\").replace("|", "\\|")


def _one_line(text: str) -> str:
    return "; ".join(str(text).split("\n"))
