"""Text of any length and any content in a part of the terminal: cut into lines once, drawn a line at a time."""

from collections.abc import Iterable, Sequence

from rich.cells import chop_cells
from rich.console import Console
from rich.text import Text
from textual.events import Resize
from textual.geometry import Size
from textual.scroll_view import ScrollView
from textual.strip import Strip

TAB = 4
HANG = 10
"""How far the lines after the first of a sentence are indented: as far as what is said begins."""
GOES_ON = "  ↪ "
"""Before what goes on from the line above: what is shown as it is, is always indented by as much, so never this."""
_CONSOLE = Console(width=200, color_system=None, highlight=False)


def cut(texts: Iterable[Text], width: int) -> list[Text]:
    """Texts as lines of at most `width` cells.

    What has `no_wrap` set is shown as it is: to the last space, cut where it is too wide, and marked where it goes on.
    The rest is broken between words.
    """
    lines: list[Text] = []
    for text in texts:
        for part in text.split("\n", allow_blank=True):
            if "\t" in part.plain:
                part.expand_tabs(TAB)
            if part.cell_len <= width:
                lines.append(part)
            elif text.no_wrap:
                lines += _cut_verbatim(part, width)
            else:
                lines += _cut_between_words(part, width)
    return lines


def _cut_verbatim(text: Text, width: int) -> list[Text]:
    room = max(1, width - len(GOES_ON))
    pieces = chop_cells(text.plain[: _fitting(text.plain, width)], width)
    first = len(pieces[0])
    ends, at = [], first
    for piece in chop_cells(text.plain[first:], room):
        ends.append(at)
        at += len(piece)
    parts = text.divide(ends)
    return [parts[0], *(Text(GOES_ON, style="dim") + part for part in parts[1:])]


def _fitting(plain: str, width: int) -> int:
    """How many characters could fit at most: of a very long text only the beginning is measured for its first line."""
    return min(len(plain), width)


def _cut_between_words(text: Text, width: int) -> list[Text]:
    hang = HANG if width > 3 * HANG else 0
    first, *rest = text.wrap(_CONSOLE, width, overflow="fold")
    if not rest:
        return [first]
    left = text[len(first.plain) :]
    left = left[len(left.plain) - len(left.plain.lstrip(" ")) :]
    return [first, *(Text(" " * hang) + each for each in left.wrap(_CONSOLE, width - hang, overflow="fold"))]


class Lines(ScrollView, can_focus=False):
    """Shows texts, and scrolls through them."""

    DEFAULT_CSS = """
    Lines {
        overflow-x: hidden; scrollbar-size-vertical: 1; scrollbar-size-horizontal: 0; scrollbar-gutter: stable;
    }
    """

    def __init__(self, texts: Sequence[Text] = (), *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._texts = list(texts)
        self._lines: list[Text] = []
        self._cut_for = 0

    def show(self, texts: Iterable[Text], *, keep_place: bool = False) -> None:
        """Show other texts; from the top, unless the place is to be kept."""
        self._texts, self._cut_for = list(texts), 0
        self._fit()
        if not keep_place:
            self.scroll_to(y=0, animate=False)
        self.refresh()

    def needed(self, width: int) -> int:
        """How many lines it takes in a place as wide as that."""
        return len(cut(self._texts, width - 1))

    def on_resize(self, event: Resize) -> None:
        """Cut the texts for another width."""
        self._fit()

    def _fit(self) -> None:
        width = self.scrollable_content_region.width
        if width and width != self._cut_for:
            self._lines, self._cut_for = cut(self._texts, width), width
            self.virtual_size = Size(width, len(self._lines))

    def render_line(self, y: int) -> Strip:
        """A line; textual calls it."""
        at = y + self.scroll_offset.y
        text = self._lines[at] if at < len(self._lines) else Text()
        return drawn(text, self.scrollable_content_region.width, self.app.console)


def drawn(text: Text, width: int, console: Console) -> Strip:
    """A text of one line as textual draws it, in exactly so many cells."""
    shown = text.copy()
    shown.stylize_before(text.style)  # else rich draws what has no other style without this one
    return Strip(shown.render(console, end="")).adjust_cell_length(width)
