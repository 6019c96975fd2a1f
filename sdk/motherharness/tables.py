"""Tables for terminals of any width."""

from collections.abc import Iterable, Sequence

from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from motherharness.text import line

GAP = "  "


class Grid:
    """Rows under headings, one line each, cut off at the terminal's edge: the last column gives way first."""

    def __init__(self, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
        self._rows = [list(columns), *([line(cell) for cell in row] for row in rows)]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield the lines; rich calls it."""
        columns = range(len(self._rows[0]))
        widths = [max(Text(row[at]).cell_len for row in self._rows) for at in columns]
        for number, row in enumerate(self._rows):
            cells = [Text(cell) for cell in row]
            for cell, width in zip(cells[:-1], widths, strict=False):
                cell.truncate(width, pad=True)
            shown = Text(GAP, style="").join(cells)
            shown.style = "bold" if number == 0 else ""
            shown.rstrip()
            shown.truncate(options.max_width, overflow="ellipsis")
            yield shown
