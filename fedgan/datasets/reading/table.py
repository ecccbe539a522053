"""CSV files, read as plain text and only up to a size."""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

MAX_BYTES = 64 * 2**20  # MIMIC-CXR's 377,110 rows take 55 MB


@dataclass(frozen=True)
class Table:
    """A CSV file whose rows all have as many cells as there are columns.

    Attributes:
        file: where it is.
        columns: the names in its first row.
        rows: the cells of each further row that is not empty, without blanks around them.
        lines: the line in the file at which each row ends, counted from 1.
    """

    file: Path
    columns: tuple[str, ...]
    rows: list[list[str]]
    lines: list[int]


def read_table(file: Path) -> Table:
    """A CSV file in UTF-8 with commas, semicolons or tabs between its cells.

    Raises:
        ValueError: in one line, if it is missing, too large, in another encoding, or no table.
    """
    parts = _rows(file)
    _, columns = next(parts, (0, []))
    if len(set(columns)) < len(columns) or not any(columns):
        raise _error(file, f"the first row must name each column, differently; it has {columns[:20]}")
    rows, lines = [], []
    for line, cells in parts:
        if len(cells) != len(columns):
            raise _error(file, f"line {line} has {len(cells)} cells, the first row {len(columns)}")
        rows.append(cells)
        lines.append(line)
    return Table(file, tuple(columns), rows, lines)


def read_columns(file: Path) -> list[str]:
    """The names in a CSV file's first row; the rest is not read.

    Raises:
        ValueError: as ``read_table``.
    """
    return next(_rows(file), (0, []))[1]


def _rows(file: Path) -> Iterator[tuple[int, list[str]]]:
    """Line and cells of each row that is not empty."""
    if not file.is_file():
        raise _error(file, "it is a folder" if file.is_dir() else "there is no such file")
    if file.stat().st_size > MAX_BYTES:
        raise _error(file, f"it has {file.stat().st_size:,} bytes; at most {MAX_BYTES:,} are read")
    try:
        with file.open(encoding="utf-8-sig", newline="") as text:
            first = text.readline()
            text.seek(0)
            reader = csv.reader(text, delimiter=max(",;\t", key=first.count))
            for row in reader:
                cells = [cell.strip() for cell in row]
                if any(cells):
                    yield reader.line_num, cells
    except UnicodeDecodeError as error:
        raise _error(file, f"it is not UTF-8 ({error.reason}); save it as CSV in UTF-8") from error
    except (csv.Error, OSError) as error:
        raise _error(file, f"it cannot be read as CSV: {' '.join(str(error).split())}") from error


def _error(file: Path, problem: str) -> ValueError:
    return ValueError(f"dataset.labels {str(file)!r}: {problem}")
