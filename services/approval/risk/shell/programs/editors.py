"""Editors and pagers: commands given to them that leave for a shell, run code or write files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.approval.risk import patterns, scoring
from services.approval.risk.shell import flows
from services.approval.risk.shell.invocation import Flow, Invocation
from services.approval.risk.shell.programs import code

if TYPE_CHECKING:
    from services.approval.risk.shell.walker import Walker

_BANG = patterns.compile(r"(?:^|[|:\s%\d$,])(?:r(?:ead)?\s*|w(?:rite)?\s+)?!\s*(.+)")
_RUNS_CODE = patterns.compile(r"\b(?:shell|terminal|system\(|py3?x?\b|python3?\b|lua\b|ruby\b|perl\b|set shell|job_start|source\s+\S*/)|^:?term")
_WRITES = patterns.compile(r"^:?(?:[%\d$,.]*)(?:w(?:rite|q)?|sav(?:eas)?|x)!?\s+(?:>>\s*)?([^!|\s][^|]*)$")
_ED_LINE = patterns.compile(r"(?m)^[\d,$%.]*(?:(?:r|w|e)\s+)?!(.+)$")
_ED_WRITE = patterns.compile(r"(?m)^[\d,$%.]*[wW]q?\s+([^!\s].*)$")


def _vim(walker: Walker, call: Invocation) -> None:
    commands = [*call.values("-c", "--cmd"), *(a[1:] for a in call.args if a.startswith("+") and len(a) > 1)]
    for file in call.values("-S", "-s", "-u"):
        if (text := walker.file_text(file)) is not None:
            commands += code.lines(walker, text)
        elif flows.FETCHED in walker.file_taint(file):
            walker.flag("execution.fetched", scoring.HIGH, "Runs code fetched from the network, unseen.", call.excerpt)
    if call.stdin.present and call.stdin.text is not None and (call.name == "ex" or call.flags & {"-e", "-E", "-es", "-Es", "-s"}):
        commands += code.lines(walker, call.stdin.text)
    for command in commands:
        if match := _BANG.search(command):
            walker.flag("escape.editor", scoring.HIGH, "Leaves an editor for a shell.", call.excerpt, span=call.span)
            walker.run_text(match.group(1))
        elif _RUNS_CODE.search(command):
            walker.flag("escape.editor", scoring.HIGH, "Leaves an editor for a shell or runs code in it.", call.excerpt, span=call.span)
        elif match := _WRITES.match(command):
            flows.writes(walker, match.group(1).strip(), Flow())
    if any(command.lstrip(":").startswith(("w", "x", "up", "g", "%", "s")) for command in commands):
        for file in call.positionals:
            if file not in commands:
                flows.writes(walker, file, Flow())


def _ed(walker: Walker, call: Invocation) -> None:
    """ed takes its commands from standard input."""
    if call.stdin.text is None:
        return
    text = "\n".join(code.lines(walker, call.stdin.text))
    for match in _ED_LINE.finditer(text):
        walker.flag("escape.editor", scoring.HIGH, "Leaves an editor for a shell.", call.excerpt)
        walker.run_text(match.group(1))
    for match in _ED_WRITE.finditer(text):
        flows.writes(walker, match.group(1).strip(), Flow())
    for file in call.positionals:
        flows.writes(walker, file, Flow())
        walker.state.files.insert(file, text)


def _less(walker: Walker, call: Invocation) -> None:
    """`less +!cmd`: what is typed once the pager runs."""
    for arg in call.args:
        if arg.startswith("+") and "!" in arg:
            walker.flag("escape.editor", scoring.HIGH, "Leaves a pager for a shell.", call.excerpt)
            walker.run_text(arg.partition("!")[2])


def _fc(walker: Walker, call: Invocation) -> None:
    """`fc -e EDITOR`: the shell's builtin that opens earlier commands in an editor and runs what comes out."""
    for value in call.values("-e"):
        walker.run_text(value)


HANDLERS = {"fc": _fc, "vim": _vim, "ex": _vim, "ed": _ed, "red": _ed, "less": _less, "more": _less}
