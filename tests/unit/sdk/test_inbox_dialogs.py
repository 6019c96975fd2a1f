"""The questions of the inbox, driven without a terminal."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from rich.text import Text
from textual.app import App
from textual.pilot import Pilot
from textual.widgets import Static

from motherharness.cli.inbox import words
from motherharness.cli.inbox.dialogs import Answer, Dialog
from motherharness.cli.inbox.lines import Lines
from motherharness.text import UNSAFE
from tests.unit.sdk.test_cli_detail import HOSTILE


@asynccontextmanager
async def asking(dialog: Dialog, *, size: tuple[int, int] = (80, 24)) -> AsyncIterator[tuple[Pilot[None], list[Any]]]:
    app: App[None] = App(ansi_color=True)
    answers: list[Answer | None] = []
    async with app.run_test(size=size) as pilot:
        app.push_screen(dialog, answers.append)
        yield pilot, answers


@pytest.mark.parametrize(
    ("make", "keys", "answer"),
    [
        (lambda: Dialog("Why", ask="Why"), ["a", "space", "b", "enter"], Answer("a b")),
        (lambda: Dialog("Why", ask="Why"), ["enter"], Answer()),
        (lambda: Dialog("Why", ask="Why", needed=True), ["enter", "space", "enter", "x", "enter"], Answer("x")),
        (lambda: Dialog("Why", ask="Why", choices=["a", "b", "c"]), ["x", "up", "y", "enter"], Answer("xy", 2)),
        (lambda: Dialog("Which", choices=["a", "b"]), ["down", "enter"], Answer("", 1)),
        (lambda: Dialog("Read", [Text("this")], reading=True), ["down", "enter"], Answer()),
        (lambda: Dialog("Why", ask="Why"), ["a", "escape"], None),
    ],
)
async def test_what_is_typed_is_the_answer(make: Callable[[], Dialog], keys: list[str], answer: Answer | None) -> None:
    async with asking(make()) as (pilot, answers):
        # Typed ahead: before there is anything to type into.
        await pilot.press(*keys)
        await pilot.pause()
        assert answers == [answer]


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (40, 24)])
async def test_it_fits_with_all_its_choices_and_some_of_what_it_is_about(size: tuple[int, int]) -> None:
    about = [Text(f"line {number}") for number in range(100)]
    dialog = Dialog("Reject this?", about, ask="Why", needed=True, choices=words.code_choices())
    async with asking(dialog, size=size) as (pilot, _):
        await pilot.pause()
        hint = dialog.query_one("#hint", Static).region
        assert hint.bottom <= size[1]
        assert dialog.query_one("#choices", Static).size.height == len(words.code_choices())
        lines = dialog.query_one(Lines)
        assert lines.size.height >= 5
        await pilot.press("pagedown")
        await pilot.pause()
        assert lines.render_line(0).text.strip() == f"line {lines.size.height - 1}"


async def test_hostile_text_in_a_question_is_inert() -> None:
    dialog = Dialog(HOSTILE, [Text("x")], ask="Why", choices=[HOSTILE, "other"])
    async with asking(dialog) as (pilot, _):
        await pilot.pause()
        shown = [str(static.content) for static in dialog.query(Static)]
        assert any("evil" in text for text in shown)
        assert not any(UNSAFE.search(text) for text in shown)
        assert all("[bold red]x[/bold red]" in text for text in shown if "evil" in text)
