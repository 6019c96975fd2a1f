"""How code reaches a program that runs it: as an argument, on standard input, in a file, from the network."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from services.approval.risk import languages, scoring
from services.approval.risk.detectors import paths
from services.approval.risk.detectors.paths import HIDDEN
from services.approval.risk.shell import flows
from services.approval.risk.shell.files import TOO_LONG
from services.approval.risk.shell.invocation import Flow, Invocation
from services.approval.risk.shell.programs import cloned
from services.approval.risk.shell.words import NONE, Word

if TYPE_CHECKING:
    from services.approval.risk.shell.walker import Walker

MAX_LINES = 500  # lines of one list of commands for an editor, a copying program or a scheduler
MAX_FILLED = 1 << 16  # characters of a command after its marks ({} of find, % of xargs) are replaced
_ADDRESS = ("http://", "https://", "ftp://", "npm:", "jsr:")
_SHEBANGS = ("python", "node", "deno", "ruby", "perl", "php", "lua", "awk", "osascript", "tclsh")
_SHEBANG_LANGUAGES = {"node": "javascript", "deno": "javascript", "osascript": "applescript", "tclsh": "tcl"}


def joined(words: list[Word] | tuple[Word, ...]) -> Word:
    """Several arguments as the one script that a program makes of them."""
    return Word(" ".join(w.text for w in words), NONE.union(*(w.taints for w in words)))


def lines(walker: Walker, text: str) -> list[str]:
    """The lines of a list of commands or names; one that is longer than is analysed is UNKNOWN."""
    found = text.splitlines()
    if len(found) > MAX_LINES:
        walker.unreadable("too-many", f"A list of {len(found)} lines; at most {MAX_LINES} are analysed.")
    return found[:MAX_LINES]


def filled(text: str, mark: str, value: str) -> str:
    """`text` with a mark replaced, hidden when that would make it longer than is analysed."""
    count = text.count(mark)
    return text.replace(mark, value) if not count or len(text) + count * len(value) <= MAX_FILLED else HIDDEN


def shell_text(walker: Walker, script: Word, stdin: Flow | None = None) -> Flow:
    """Assesses a shell script that is given as an argument."""
    if flows.FETCHED in script.taints:
        flag_fetched(walker, script.text)
        if script.text == HIDDEN:
            return Flow(taints=script.taints, present=True)
    if flows.ENCODED in script.taints:
        flag_decoded(walker, script.text)
    if not script.text.strip():
        return Flow()
    return walker.run_text(script.text, stdin)


def flag_fetched(walker: Walker, excerpt: str) -> None:
    """Code from the network that runs without anybody having seen it."""
    walker.flag(
        "execution.fetched",
        scoring.HIGH,
        "Runs code fetched from the network, unseen.",
        excerpt,
        "Fetch it into a file, read it, check its signature, then run it.",
    )


def flag_decoded(walker: Walker, excerpt: str) -> None:
    """Code that was made unreadable first."""
    walker.flag("execution.decoded", scoring.HIGH, "Runs a script that was encoded.", excerpt, "Write the script plainly.")


def flag_piped(walker: Walker, call: Invocation) -> None:
    """Code that another program prints while it runs."""
    walker.flag(
        "execution.piped", scoring.HIGH, "Runs whatever another program prints.", call.excerpt, "Save the output, read it, then run it.", call.span
    )


def run_language(walker: Walker, language: str, text: str) -> None:
    """Assesses source code of a language found inside a shell command."""
    if language == "bash":
        walker.run_text(text)
    else:
        walker.add(*languages.assess(language, text, walker.run_text))


def language_of(text: str, default: str = "bash") -> str:
    """The language that the first line of a script names (`#!/usr/bin/env python3`)."""
    if not text.startswith("#!"):
        return default
    line = text.partition("\n")[0]
    named = next((name for name in _SHEBANGS if name in line), "")
    return _SHEBANG_LANGUAGES.get(named, named) or "bash"


def script_file(walker: Walker, call: Invocation, word: Word, language: str = "bash") -> None:
    """An interpreter given a file: one written or fetched by the same script is known, any other is only noted."""
    taints = word.taints | walker.file_taint(word.text)
    text = walker.file_text(word.text)
    cloned.flag(walker, call, word.text)
    if word.text in flows.STDIN:
        fed(walker, call, language)
    elif flows.FETCHED in taints or word.text.startswith(_ADDRESS) or walker.state.files.is_unpacked(word.text):
        flag_fetched(walker, call.excerpt)
    elif flows.ENCODED in taints:
        flag_decoded(walker, call.excerpt)
    elif text is not None:
        run_language(walker, language, text)
    elif TOO_LONG in taints:
        walker.unreadable("too-large", "Runs a script that was put together and is longer than is analysed.", call.excerpt)
    elif flows.PRINTED in taints or walker.state.files.is_pipe(word.text):
        flag_piped(walker, call)
    elif not word.known:
        walker.flag("execution.hidden-script", scoring.MINOR, "Which script runs is not known before it runs.", call.excerpt)
    elif paths.is_temporary(word.text):
        walker.flag("execution.temporary", scoring.MEDIUM, "Runs a script from a folder for temporary files.", call.excerpt)
    else:
        walker.flag("execution.script-file", scoring.NOTE, "Runs a script whose content is not part of this action.", call.excerpt)
    if text is not None and taints & {flows.FETCHED, flows.ENCODED}:
        run_language(walker, language, text)
    run_pieces(walker, word.text, language)


def run_pieces(walker: Walker, path: str, language: str = "bash") -> None:
    """Runs what this script put into a file whose other content is not known."""
    if pieces := walker.state.files.pieces(path):
        effects_only(walker, lambda: run_language(walker, language, pieces))


def effects_only(walker: Walker, run: Callable[[], object]) -> None:
    """Keeps only what would be done, of a text that may not stand there so: not what cannot be read of it."""
    before = len(walker.factors)
    run()
    walker.factors[before:] = [f for f in walker.factors[before:] if f.weight >= scoring.ADDS_FROM and f.category != scoring.UNREADABLE]


def fed(walker: Walker, call: Invocation, language: str = "bash") -> None:
    """An interpreter that runs what comes in on standard input."""
    stdin = call.stdin
    if flows.FETCHED in stdin.taints:
        flag_fetched(walker, call.excerpt)
    elif flows.ENCODED in stdin.taints:
        flag_decoded(walker, call.excerpt)
    elif stdin.text is None and flows.REDIRECTED in stdin.taints and flows.PRINTED not in stdin.taints:
        walker.flag("execution.script-file", scoring.NOTE, "Runs a script whose content is not part of this action.", call.excerpt)
    elif stdin.text is None:
        flag_piped(walker, call)
    if stdin.text is not None:
        run_language(walker, language, stdin.text)
