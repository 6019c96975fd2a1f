"""What the inbox shows: a list, and below it the current row; and the keys that move through them.

What changes while it is looked at is said, and shown when the person asks for it: nothing that is being looked at is
replaced by something else.
"""

import asyncio
import time

from rich.text import Text
from textual import work
from textual.app import App, ComposeResult
from textual.widgets import Input, Static

from harness.approval.v1 import approval_pb2
from motherharness.cli.detail import detail_lines
from motherharness.cli.inbox import words
from motherharness.cli.inbox.feed import Feed
from motherharness.cli.inbox.lines import Lines
from motherharness.cli.inbox.rows import BY_RISK, BY_TIME, arrange, heading
from motherharness.cli.inbox.table import Table
from motherharness.cli.output import phrase
from motherharness.client import Client
from motherharness.errors import HarnessError

SETTLE_SECONDS = 0.15
"""How long a row is the current one before all of it is read: not while somebody runs through the list."""
CHANGED = "it was changed while you looked at it: u shows it as it is now"


class View(App[None]):
    """Shows what waits, and moves through it. `feed` has been loaded."""

    CSS = """
    Screen { background: ansi_default; color: ansi_default; }
    #head, #title, #keys { height: 1; }
    #head, #title { text-style: reverse; }
    #columns, #message { height: 1; }
    #table { height: auto; min-height: 3; max-height: 40%; }
    #detail { height: 1fr; min-height: 3; }
    #filter { border: none; height: 1; padding: 0; }
    Screen.whole #table, Screen.whole #columns { display: none; }
    """
    ENABLE_COMMAND_PALETTE = False

    def __init__(self, client: Client, feed: Feed) -> None:
        # The colours of the terminal's own palette; none at all with NO_COLOR.
        super().__init__(ansi_color=True)
        self._client = client
        self._feed = feed
        self._order = BY_TIME
        self._fold = True
        self._opened: set[str] = set()
        self._words = ""
        self._looked_at = ""
        self._changed = False
        self._thread: list[approval_pb2.Comment] = []
        self._decided: set[str] = set()
        # Kept, for what happens is shown also while a question is above them.
        self.table = Table(id="table")
        self.detail = Lines(id="detail")
        self.head, self._columns, self._title, self.message = (
            Static(id=name) for name in ("head", "columns", "title", "message")
        )
        self._keys = Static(Text(words.KEYS, style="dim", no_wrap=True), id="keys")
        self._typed = Input(
            id="filter", placeholder="words that what is shown has somewhere; Enter keeps, Esc shows all"
        )
        self.shown: approval_pb2.Approval | None = None
        """The request that is shown below the list, as it is shown."""

    def compose(self) -> ComposeResult:
        """Lay it out; textual calls it."""
        yield from (self.head, self._columns, self.table, self._title, self.detail, self.message, self._typed)
        yield self._keys

    def on_mount(self) -> None:
        """Begin to show, and to follow what happens."""
        self.theme = "ansi-dark"
        self._typed.display = False
        self.table.focus()
        self.call_after_refresh(self._arrange)
        self.set_interval(1.0, self._tick)
        self.run_worker(self._feed.run(self._arrange), group="feed")

    def _arrange(self) -> None:
        """Show what the feed has."""
        waiting = self._feed.approvals
        self.table.selected &= waiting.keys()
        rows = arrange(waiting.values(), order=self._order, words=self._words, fold=self._fold, opened=self._opened)
        gone = self.shown is not None and self.shown.id not in waiting and self.shown.id not in self._decided
        if self.shown is not None and gone:
            self.say(f"{self.shown.id} waits for you no more: somebody decided, or its time or its run has ended")
        self.table.show(rows)
        self._look()
        self._tick()

    def _tick(self) -> None:
        """Show the time that has passed."""
        self.table.refresh()
        self.head.update(self._state())
        self._columns.update(heading(self.table.scrollable_content_region.width))
        self._title.update(words.title_of(self.table.current, time.time()))

    def _state(self) -> Text:
        count, more = len(self._feed.approvals), "+" if self._feed.more else ""
        parts = [f" {count}{more} {'waiting' if self._feed.everything else 'waiting for you'}"]
        if self.table.selected:
            parts.append(f"{len(self.table.selected)} selected")
        if self._words:
            parts.append(f"with “{self._words}”")
        parts.append(f"by {self._order}")
        left = phrase(" · ".join(parts))
        right = phrase(f"not live: {self._feed.trouble} " if self._feed.trouble else "live ")
        left.truncate(max(0, self.size.width - right.cell_len - 1), overflow="ellipsis", pad=True)
        return Text.assemble(left, " ", right, no_wrap=True)

    def say(self, text: Text | str, style: str = "") -> None:
        """Say what came of something, until the next key."""
        shown = text if isinstance(text, Text) else phrase(text, style=style)
        shown.no_wrap, shown.overflow = True, "ellipsis"
        self.message.update(shown)

    # What is shown below the list

    def on_table_moved(self) -> None:
        """Show the row that is the current one now."""
        self._look()
        self._tick()

    def _look(self) -> None:
        """Show the current row, unless it is what is shown."""
        row = self.table.current
        if row is None:
            self._looked_at, self.shown = "", None
            nothing = "has these words" if self._words else "waits; what comes appears here"
            self.detail.show([phrase("nothing", nothing, style="dim")])
        elif row.one is None:
            again = self._looked_at == row.key
            self._looked_at, self.shown = row.key, None
            self.detail.show(words.of_group(row), keep_place=again)
        elif self._looked_at != row.key or self.shown is None:
            self._looked_at, self.shown, self._changed, self._thread = row.key, row.one, False, []
            self._draw()
            self._read(row.one.id)
        elif row.one.digest != self.shown.digest:
            if not self._changed:
                self._changed = True
                self._draw(keep_place=True)
        elif (row.one.comments, len(row.one.votes)) != (self.shown.comments, len(self.shown.votes)):
            self._read(row.one.id)

    def _draw(self, *, keep_place: bool = False) -> None:
        assert self.shown is not None
        _, *lines = detail_lines(self.shown, self._thread, now=time.time())  # the first is what the title says
        if self._changed:
            lines.insert(0, Text(CHANGED.upper(), style="bold red"))
        self.detail.show(lines, keep_place=keep_place)

    @work(exclusive=True, group="read")
    async def _read(self, approval_id: str) -> None:
        """Read all of a request, and what was said about it, if it is the one that is shown."""
        await asyncio.sleep(SETTLE_SECONDS)
        try:
            found = await self._client.get_approval(approval_id)
            thread = [each async for each in self._client.list_comments(approval_id)] if found.comments else []
        except HarnessError as error:
            self.say(f"cannot read all of it: {error.message}", "bold red")
            return
        if self.shown is None or self.shown.id != approval_id:
            return
        if found.digest == self.shown.digest:
            self.shown, self._thread = found, thread
        else:
            self._changed = True
        self._draw(keep_place=True)

    # Keys that move

    def action_up(self, by: int) -> None:
        """Go to another row, or scroll what fills the terminal."""
        if self.screen.has_class("whole"):
            self.detail.scroll_to(y=self.detail.scroll_offset.y + by, animate=False)
        else:
            self.action_move(by)

    def action_move(self, by: int) -> None:
        """Go to another row."""
        self.say("")
        self.table.move(by)

    def action_ends(self, to: int) -> None:
        """Go to the first or the last row, or line."""
        if self.screen.has_class("whole"):
            self.detail.scroll_to(y=0 if to < 0 else self.detail.virtual_size.height, animate=False)
        else:
            self.table.move(to * len(self.table.rows))

    def action_turn(self, by: int) -> None:
        """Scroll a page through what is shown."""
        page = max(1, self.detail.size.height - 1)
        self.detail.scroll_to(y=self.detail.scroll_offset.y + by * page, animate=False)

    def action_whole(self) -> None:
        """Have what is shown fill the terminal; show what is folded into a row."""
        row = self.table.current
        if row is not None and row.one is None:
            self.action_unfold(row.fold == "closed")
        else:
            self.screen.toggle_class("whole")

    def action_leave(self) -> None:
        """Back to the list; from a filter, to all of it."""
        if self._typed.display or not self.screen.has_class("whole"):
            self._typed.value = ""
            self._filtered(False)
        self.screen.remove_class("whole")

    def action_select(self) -> None:
        """Select the current row, or do not."""
        row = self.table.current
        if row is not None:
            ids = {each.id for each in row.approvals}
            if ids <= self.table.selected:
                self.table.selected -= ids
            else:
                self.table.selected |= ids
            self.table.move(1)

    def action_select_nothing(self) -> None:
        """Select nothing."""
        self.table.selected.clear()
        self._tick()

    def action_unfold(self, open: bool) -> None:
        """Show what is folded into the current row, or fold it again."""
        row = self.table.current
        if row is None:
            return
        key = row.key if row.one is None else f"group:{row.one.group}"
        (self._opened.add if open else self._opened.discard)(key)
        if row.fold == "member" and not open:
            self.table.at = next(at for at, each in enumerate(self.table.rows) if each.key == key)
        self._arrange()

    def action_fold(self) -> None:
        """Fold similar requests, or none."""
        self._fold = not self._fold
        self._arrange()

    def action_order(self) -> None:
        """Order by the other of time left and risk."""
        self._order = BY_RISK if self._order == BY_TIME else BY_TIME
        self._arrange()

    def action_mine(self) -> None:
        """Show what is mine to decide, or all."""
        self._feed.everything = not self._feed.everything
        self._feed.touch("")
        self._tick()

    def action_again(self) -> None:
        """Read everything again, and show what is shown as it is now."""
        self._looked_at = ""
        self._feed.touch("")
        self._look()
        self.say("read again")

    def action_filter(self) -> None:
        """Ask for words that what is shown must have."""
        # Now, not when the next picture is drawn: what is typed ahead is for it, and means other things elsewhere.
        self._typed.display, self._keys.display = True, False
        self.screen.set_focus(self._typed)

    def on_input_changed(self, event: Input.Changed) -> None:
        """Show what has the words typed so far."""
        if event.input.id == "filter":
            self._words = event.value
            self._arrange()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Keep the filter."""
        if event.input.id == "filter":
            self._filtered(bool(event.value))

    def _filtered(self, kept: bool) -> None:
        self._typed.display, self._keys.display = False, True
        self.screen.set_focus(self.table)
        if not kept and self._words:
            self._words = ""
            self._arrange()
