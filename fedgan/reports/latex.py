"""A table as LaTeX: booktabs' rules, no wider than the text; a long one goes over several pages."""

import re

import pandas as pd

from fedgan.core.words import name_lines
from fedgan.reports.blocks import Table

PACKAGES = r"% \usepackage{array,booktabs,graphicx,longtable,pdflscape}"
SIGNS = {sign: f"\\{sign}" for sign in "&%$#_{}"}
SIGNS |= {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", '"': "''"}
SIGNS |= {sign: f"${sign}$" for sign in "<>|"}  # without the dollars LaTeX's own fonts print others
SIGNS |= {sign: f"{{{sign}}}" for sign in "[*"}  # at the start of a row they would belong to the line break before it
SIGNS |= {"↓": r"$\downarrow$", "↑": r"$\uparrow$", "±": r"$\pm$", "–": "--", "≥": r"$\ge$", "\n": r"\newline "}
LONGEST_CELL = 24  # characters of a line; longer ones are broken
HEAD = 12  # characters of a line in a column's head
MOST_ROWS = 40  # that fit on a page
MANY_COLUMNS = 7  # of a table of several pages: more go on landscape pages
TO_TEXT = r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%"  # smaller, but never larger


def latex(table: Table) -> str:
    """What a reader sees of a table. Other scripts than Latin want xelatex or lualatex."""
    shown = table.display
    names = list(zip(map(str, shown.columns), table.numeric, strict=True))
    head = [stacked(name, "r" if number else "l") for name, number in names]
    columns = "".join(_column(shown[name], number) for name, number in names)
    frame = shown.map(breakable).set_axis(head, axis=1)
    body = frame.to_latex(index=False, column_format=columns, escape=False, longtable=_is_long(table))
    caption = f"\\caption{{{escaped(table.caption)}}}"
    whole = _over_pages(body, caption, len(head)) if _is_long(table) else _on_a_page(body, caption)
    return f"{PACKAGES}\n{whole}"


def _is_long(table: Table) -> bool:
    return len(table.display) > MOST_ROWS


def _on_a_page(body: str, caption: str) -> str:
    return f"\\begin{{table}}[htbp]\n\\centering\n{caption}\n{TO_TEXT}\n{body}}}\n\\end{{table}}\n"


def _over_pages(body: str, caption: str, columns: int) -> str:
    wide = columns > MANY_COLUMNS
    size = "\\tiny" if wide else "\\footnotesize"
    body = body.replace("\\toprule", f"{caption} \\\\\n\\toprule", 1)
    small = f"{{{size}\n\\setlength{{\\tabcolsep}}{{3pt}}\n{body}}}\n"
    return f"\\begin{{landscape}}\n{small}\\end{{landscape}}\n" if wide else small


def _column(cells: "pd.Series[str]", number: bool) -> str:
    """Numbers to the right; text to the left, broken where it is long or has several lines."""
    lines = [line for cell in cells for line in cell.split("\n")]
    longest = max(map(len, lines), default=0)
    if number or (longest <= LONGEST_CELL and len(lines) == len(cells)):
        return "r" if number else "l"
    return rf">{{\raggedright\arraybackslash}}p{{{min(longest, LONGEST_CELL) / 2:g}em}}"


def escaped(text: str) -> str:
    r"""A text that LaTeX prints as it is; a minus before a number is one.

    Example:
        >>> escaped("a_b & 5 % < -0.5"), escaped("1e-05 ± 2")
        ('a\\_b \\& 5 \\% $<$ $-$0.5', '1e-05 $\\pm$ 2')
    """
    return re.sub(r"(?<![\w.)])-(?=\d)", "$-$", text.translate({ord(sign): said for sign, said in SIGNS.items()}))


def breakable(text: str) -> str:
    r"""The same, and LaTeX may break its long names after their signs, and what has no signs, such as a digest.

    Example:
        >>> breakable("fl.num_clients")
        'fl.\\allowbreak{}num\\_\\allowbreak{}clients'
    """
    broken = re.sub(r"([^\W_]{16})(?=[^\W_]{8})", r"\1\\allowbreak{}", escaped(text))
    return re.sub(r"([_./+=-])(?=[^\W\d])", r"\1\\allowbreak{}", broken)


def stacked(name: str, side: str) -> str:
    r"""A column's name on several lines, if it is long.

    Example:
        >>> stacked("weight_of_malicious ↓", "r")
        '\\shortstack[r]{weight\\_of\\_\\\\malicious $\\downarrow$}'
    """
    lines = name_lines(name, HEAD)
    text = r"\\".join(map(escaped, lines))
    return rf"\shortstack[{side}]{{{text}}}" if len(lines) > 1 else text
