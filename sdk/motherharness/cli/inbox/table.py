"""The list of the inbox: only the rows that are seen are drawn, so that thousands cost what twenty do."""

import time
from collections.abc import Sequence

from rich.text import Text
from textual.events import Click
from textual.geometry import Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from motherharness.cli.inbox.lines import drawn
from motherharness.cli.inbox.rows import Row, row_text


class Table(ScrollView, can_focus=True):
    """Shows rows, one of which is the current one.

    Attributes:
        rows: all of them.
        at: which is the current one.
        selected: ids of the requests that are selected.
    """

    DEFAULT_CSS = """
    Table {
        overflow-x: hidden; scrollbar-size-vertical: 1; scrollbar-size-horizontal: 0; scrollbar-gutter: stable;
    }
    """

    class Moved(Message):
        """Another row is the current one."""

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self.rows: Sequence[Row] = ()
        self.at = 0
        self.selected: set[str] = set()

    @property
    def current(self) -> Row | None:
        """The current row; None where there is none."""
        return self.rows[self.at] if self.rows else None

    def show(self, rows: Sequence[Row]) -> None:
        """Show other rows. The current one stays that wherever it is now; if it is gone, what took its place is."""
        key = self.current.key if self.current else ""
        self.rows = rows
        at = next((index for index, row in enumerate(rows) if row.key == key), self.at)
        self.virtual_size = Size(self.size.width, len(rows))
        self._go(at)

    def move(self, by: int) -> None:
        """Make a row the current one that is so many below."""
        self._go(self.at + by)
        self.post_message(self.Moved())

    def _go(self, at: int) -> None:
        self.at = max(0, min(at, len(self.rows) - 1))
        top, height = self.scroll_offset.y, max(1, self.size.height)
        if not top <= self.at < top + height:
            self.scroll_to(y=self.at if self.at < top else self.at - height + 1, animate=False)
        self.refresh()

    def on_click(self, event: Click) -> None:
        """Make what is clicked on the current row."""
        at = event.y + self.scroll_offset.y
        if at < len(self.rows):
            self.move(at - self.at)

    def on_resize(self) -> None:
        """Keep the current row in sight."""
        self.virtual_size = Size(self.size.width, len(self.rows))
        self._go(self.at)

    def render_line(self, y: int) -> Strip:
        """A row; textual calls it."""
        at, width = y + self.scroll_offset.y, self.scrollable_content_region.width
        if at >= len(self.rows):
            return drawn(Text(), width, self.app.console)
        text = row_text(self.rows[at], width=width, now=time.time(), selected=self.selected)
        if at == self.at:
            text.stylize("reverse")
        return drawn(text, width, self.app.console)
