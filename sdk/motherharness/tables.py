"""Tables for terminals of any width."""

from collections.abc import Iterable, Sequence

from rich.table import Table
from rich.text import Text

from motherharness.text import line

WIDEST = 40
"""Characters of a column that are shown even in a narrow terminal; an id has 38."""


def grid(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Table:
    """Return rows under headings; only the last column gives way when the terminal is narrow."""
    cells = [[line(cell) for cell in row] for row in rows]
    shown = Table(box=None, pad_edge=False, header_style="bold")
    for at, column in enumerate(columns[:-1]):
        widest = max([len(column), *(len(row[at]) for row in cells)])
        shown.add_column(column, no_wrap=True, min_width=min(widest, WIDEST))
    shown.add_column(columns[-1], no_wrap=True, overflow="ellipsis")
    for row in cells:
        shown.add_row(*(Text(cell) for cell in row))
    return shown
