"""Folders that only the script itself can have filled, because it ends when they were there before it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from services.approval.risk.shell.invocation import Flow

if TYPE_CHECKING:
    from services.approval.risk.shell.walker import Walker


def after(walker: Walker, run: Callable[[], Flow]) -> Flow:
    """Runs a command whose failure ends the script: the folders that it makes are the script's own from here on.

    Not so in a subshell, a branch or a function, where the end may be another's, nor after a trap was set, which runs all the same.
    """
    state = walker.state
    before = len(state.files.new_folders())
    flow = run()
    if state.nested == 1 and not (state.apart or state.active or state.later):
        state.files.own(state.files.new_folders()[before:])
    return flow
