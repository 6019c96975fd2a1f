"""Debuggers: commands given to them, and the program that they start."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.approval.risk.shell import flows
from services.approval.risk.shell.invocation import Invocation
from services.approval.risk.shell.programs import code

if TYPE_CHECKING:
    from services.approval.risk.shell.walker import Walker

_SCRIPTS = {
    "gdb": ("-ex", "-iex", "-eval-command", "--eval-command", "-init-eval-command"),
    "lldb": ("-o", "-O", "-k", "--one-line", "--one-line-before-file"),
}
_FILES = {"gdb": ("-x", "-command", "--command"), "lldb": ("-s", "--source", "-S")}
_TO_SHELL = ("!", "shell ", "pipe ", "platform shell ")


def _debugger(walker: Walker, call: Invocation) -> None:
    for script in call.values(*_SCRIPTS[call.name]):
        code.run_language(walker, "gdb", script)
        for start in _TO_SHELL:
            if script.lstrip().startswith(start):
                walker.run_text(script.lstrip()[len(start) :])
    for mark in ("--args", "-args", "--"):
        if mark in call.args:
            walker.run_words(list(call.words[call.args.index(mark) + 1 :]), call.stdin)
            break
    for file in call.values(*_FILES[call.name]):
        if walker.file_taint(file) & {flows.FETCHED, flows.ENCODED}:
            code.flag_fetched(walker, call.excerpt)
        if (text := walker.file_text(file)) is not None:
            code.run_language(walker, "gdb", text)


HANDLERS = {"gdb": _debugger, "lldb": _debugger}
