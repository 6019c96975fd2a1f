"""What the inbox asks before it sends anything: a text, and one of some choices, beside what it is about."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.events import Key
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from motherharness.cli.inbox.lines import Lines
from motherharness.cli.output import phrase
from motherharness.text import line

BOX = """
Dialog { align: center middle; }
Dialog > Vertical {
    width: 100%; max-width: 110; height: auto; max-height: 100%; overflow: hidden;
    border: round ansi_blue; padding: 0 1; background: ansi_default;
}
Dialog Static { text-wrap: nowrap; text-overflow: ellipsis; }
Dialog Input { border: none; height: 1; padding: 0; }
"""
MAX_WIDTH, BORDER, PADDING = 110, 2, 4


@dataclass(frozen=True)
class Answer:
    """What was typed, and which of the choices was chosen."""

    text: str = ""
    choice: int = 0


class Dialog(ModalScreen[Answer | None]):
    """Shows something and asks about it; Enter answers, Escape (None) does not.

    Args:
        title: what is to be done.
        about: what it is done to, as it is sent.
        ask: what to type; nothing is, if it is empty.
        needed: whether it may not be left out.
        choices: in words; Up and Down choose.
        reading: whether it is there to be read: then it is as tall as the terminal, and Up and Down scroll.
    """

    CSS = BOX
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "leave", priority=True),
        Binding("up", "choose(-1)", priority=True),
        Binding("down", "choose(1)", priority=True),
        Binding("pageup", "turn(-1)", priority=True),
        Binding("pagedown", "turn(1)", priority=True),
        Binding("enter", "answer"),
    ]

    def __init__(
        self,
        title: str,
        about: Sequence[Text] = (),
        *,
        ask: str = "",
        needed: bool = False,
        choices: Sequence[str] = (),
        reading: bool = False,
    ) -> None:
        super().__init__()
        self._title = title
        self._about = about
        self._ask = ask
        self._needed = needed
        self._choices = choices
        self._reading = reading
        self._chosen = 0
        self._drawn = False
        self._typed = Input()

    def compose(self) -> ComposeResult:
        """Lay it out; textual calls it."""
        with Vertical():
            yield Static(phrase(self._title, style="bold"))
            if self._about:
                yield Lines(self._about)
            if self._ask:
                yield Static(Text(f"{self._ask}:"))
                yield self._typed
            if self._choices:
                yield Static(self._shown_choices(), id="choices")
            yield Static(Text(self._hint(), style="dim"), id="hint")

    def _hint(self) -> str:
        if self._reading:
            return "↑↓ scroll   Enter or Esc close"
        choose, scroll = "   ↑↓ choose" * bool(self._choices), "   PgUp PgDn scroll" * bool(self._about)
        return f"Enter send   Esc cancel{choose}{scroll}"

    def _shown_choices(self) -> Text:
        text = Text()
        for at, choice in enumerate(self._choices):
            chosen = at == self._chosen
            text.append(f"{'●' if chosen else '○'} {line(choice)}", style="bold" if chosen else "")
            text.append("\n" if at < len(self._choices) - 1 else "")
        return text

    def on_mount(self) -> None:
        """Let what is typed go where it belongs."""
        self._drawn = True
        if self._ask:
            self.set_focus(self._typed)

    def on_resize(self) -> None:
        """Give what it is about the room that the rest leaves."""
        rest = 2 + bool(self._ask) * 2 + len(self._choices)
        for lines in self.query(Lines):
            room = max(1, self.size.height - rest - BORDER)
            lines.styles.height = min(room, lines.needed(min(self.size.width, MAX_WIDTH) - PADDING))

    def on_key(self, event: Key) -> None:
        """Take what is typed ahead, before there is a place for it."""
        if self._ask and event.is_printable and event.character:
            self._typed.insert_text_at_cursor(event.character)
            event.stop()

    def on_input_submitted(self) -> None:
        """Answer; Enter comes this way, so that it is after all that was typed before it."""
        self.action_answer()

    def action_choose(self, step: int) -> None:
        """Choose another, or scroll."""
        if self._reading:
            self._scroll(step)
        elif self._choices:
            self._chosen = (self._chosen + step) % len(self._choices)
            self.query_one("#choices", Static).update(self._shown_choices())
        else:
            self._scroll(step)

    def action_turn(self, step: int) -> None:
        """Scroll a page through what it is about."""
        for lines in self.query(Lines):
            self._scroll(step * max(1, lines.size.height - 1))

    def _scroll(self, by: int) -> None:
        for lines in self.query(Lines):
            lines.scroll_to(y=lines.scroll_offset.y + by, animate=False)

    def action_answer(self) -> None:
        """Answer; not before it can be seen what is answered."""
        if not self._drawn:
            return
        typed = self._typed.value.strip()
        if self._needed and not typed:
            self.query_one("#hint", Static).update(Text("say something first; Esc cancels", style="bold yellow"))
            return
        self.dismiss(Answer(typed, self._chosen))

    def action_leave(self) -> None:
        """Do nothing."""
        self.dismiss(None)
