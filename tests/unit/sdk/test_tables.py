"""Tables in narrow terminals."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from motherharness.tables import Grid


@pytest.mark.parametrize("width", [40, 80, 200])
def test_only_the_last_column_gives_way(width: int) -> None:
    console = Console(file=io.StringIO(), width=width)
    console.print(Grid(("#", "EVENT", "DATA"), [(1, "approval_requested", "x" * 500), (22, "run_created", "")]))
    assert isinstance(console.file, io.StringIO)
    lines = console.file.getvalue().splitlines()
    assert lines[1].startswith("1   approval_requested  xxx")
    assert lines[2].startswith("22  run_created")
    assert all(len(line) <= width for line in lines)


def test_a_terminal_is_not_driven_by_what_it_shows() -> None:
    console = Console(file=io.StringIO(), width=80)
    console.print(Grid(("A", "B"), [("\x1b[31mred", "[bold]\x1b]0;title\x07")]))
    assert isinstance(console.file, io.StringIO)
    assert "\x1b" not in console.file.getvalue()
    assert "[bold]" in console.file.getvalue()
