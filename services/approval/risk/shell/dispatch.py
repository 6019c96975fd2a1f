"""What one command does: wrappers are taken off, programs that run other code are entered, rules say the rest."""

from __future__ import annotations

import re
from collections.abc import Sequence

from services.approval.risk import lookalikes, scoring
from services.approval.risk.detectors.paths import HIDDEN
from services.approval.risk.rules import TABLE, check
from services.approval.risk.shell import discovery, flows, interpreters, statements
from services.approval.risk.shell.invocation import ALIASES, Flow, Invocation
from services.approval.risk.shell.walker import Walker, excerpt_of, invocation
from services.approval.risk.shell.words import NONE, Value, Word
from services.approval.risk.shell.wrappers import WRAPPERS, Wrapper, unwrap

_VERSIONED = re.compile(r"^(python|pypy|perl|ruby|node|php|lua|luajit|tclsh|wish|gcc|clang|java|pip|irb|psql|emacs|gdb)-?\d[\d.]*$")
_TYPED_SHELLS = interpreters.SHELLS
# Environments of a command line's own: they say where it acts.
_PRODUCTION = re.compile(
    r"(?i)^(?:--?(?:env|environment|context|kube-context|profile|stage|workspace|cluster|namespace|project)=)?(?:prod|production)$"
)
_PRODUCTION_OPTIONS = frozenset("--env --environment -e --context --kube-context --profile --stage -n --namespace --workspace -s --cluster".split())


def canonical(text: str) -> str:
    """The name of a program: its base name, lower-cased, versions and spellings of one program merged."""
    name = text.rstrip("/").rpartition("/")[2].rpartition("\\")[2].lower() if "/" in text or "\\" in text else text.lower()
    name = name.removesuffix(".exe")
    if versioned := _VERSIONED.match(name):
        name = versioned.group(1)
    return ALIASES.get(name, name)


def _known(name: str) -> bool:
    return name in WRAPPERS or TABLE.knows(name) or discovery.known(name)


def dispatch(walker: Walker, words: list[Word], stdin: Flow) -> Flow:
    """Assesses one command into the walker's factors, and says what it prints."""
    typed = words[0].text
    name = canonical(typed)
    if not typed.isascii() and (lookalikes.look_alike(typed) or _known(canonical(lookalikes.skeleton(typed)))):
        walker.flag("deception.look-alike", scoring.HIGH, "A program's name is written in letters that look like others.", typed)
    if re.search(r"[*?]|\[.+\]", name) and name not in ("[", "[["):
        walker.unreadable("hidden-command", "Which program runs depends on which files match.", typed)
        return Flow(present=True)
    if (wrapper := WRAPPERS.get(name)) is not None:
        produced = _wrapped(walker, name, wrapper, words, stdin)
        if produced is not None:
            return produced
    call = invocation(walker, words, stdin, name)
    if statement := statements.as_statement(call):
        walker.add(*statement)
        return Flow(present=True)
    return _plain(walker, call, words)


def _plain(walker: Walker, call: Invocation, words: Sequence[Word]) -> Flow:
    _path_of_program(walker, call)
    entered = interpreters.enter(walker, call, words)
    found = TABLE.apply(call)
    walker.add(*found)
    _production(walker, call, bool(found))
    read = flows.scan_reads(walker, call)
    check(walker, call, read)
    if not (entered or found or TABLE.knows(call.name) or discovery.known(call.name) or walker.resolve_defined(call.name)):
        walker.flag("unlisted.program", scoring.NOTE, "A program that no rule knows.", call.typed, span=call.span)
    return flows.output_of(walker, call, read)


def _path_of_program(walker: Walker, call: Invocation) -> None:
    """A program named by its path: one that was just fetched or decoded is the danger itself."""
    if "/" not in call.typed:
        return
    taints = walker.file_taint(call.typed)
    fetched = walker.state.unpacked_fetched and not call.typed.startswith("/")
    if fetched or "fetched" in taints or "encoded" in taints:
        walker.flag(
            "execution.fetched",
            scoring.HIGH,
            "Runs a file that was fetched or decoded by the same script.",
            call.excerpt,
            "Fetch it, read it, check its signature, then run it.",
            call.span,
        )
    elif (text := walker.file_text(call.typed)) is not None:
        walker.run_text(text)
    elif re.match(r"^/(?:tmp|var/tmp|dev/shm)/", call.typed):
        walker.flag("execution.temporary", scoring.MEDIUM, "Runs a program from a folder for temporary files.", call.excerpt, span=call.span)


def _wrapped(walker: Walker, name: str, wrapper: Wrapper, words: list[Word], stdin: Flow) -> Flow | None:
    inside = unwrap(name, wrapper, words)
    if inside is None:
        return None
    outer = invocation(walker, [words[0], *inside.consumed], stdin, name)
    outer.excerpt = excerpt_of(words)
    if name in ("command", "type") and outer.flags & {"-v", "-V"}:
        return Flow(inside.words[0].text if inside.words else None, present=True)
    if wrapper.privilege and not (name == "sudo" and not inside.words and outer.flags & {"-k", "-K", "-V", "-v", "--version"}):
        walker.flag(
            f"privilege.{name}",
            wrapper.privilege,
            f"Runs with other rights, through {name}.",
            outer.excerpt,
            "Run it as the ordinary user.",
            outer.span,
        )
    for word in inside.assignments:
        key, _, value = word.text.partition("=")
        flows.check_assignment(walker, key, Value(value, word.taints))
    full = invocation(walker, words, stdin, name)
    if wrapper.sub:
        walker.add(*TABLE.apply(full))
    else:
        walker.add(*TABLE.apply(outer))
    read = flows.scan_reads(walker, outer)
    check(walker, full if wrapper.sub else outer, read)
    before, walker.privileged = walker.privileged, walker.privileged or bool(wrapper.privilege)
    try:
        return _inner(walker, name, wrapper, inside.words, inside.scripts, outer, stdin)
    finally:
        walker.privileged = before


def _inner(walker: Walker, name: str, wrapper: Wrapper, words: list[Word], scripts: list[Word], outer: Invocation, stdin: Flow) -> Flow:
    dump = frozenset({flows.ENVIRONMENT}) if name == "env" and not words and not scripts else NONE
    flow = Flow(taints=stdin.taints | dump, present=True)
    for script in scripts:
        flow = interpreters.shell_text(walker, script, stdin)
    if wrapper.hidden_input:
        if not words and not scripts:
            return Flow(stdin.text, stdin.taints, present=True)
        given = stdin.text.split() if stdin.text is not None and name == "xargs" and len(stdin.text) < 4096 else [HIDDEN]
        replace = outer.values("-I") if name == "xargs" else ["{}"]
        if words and replace and any(replace[0] in w.text for w in words):
            words = [Word(w.text.replace(replace[0], " ".join(given)), w.taints | stdin.taints) for w in words]
        elif words:
            words = [*words, *(Word(text, stdin.taints) for text in given)]
        stdin = Flow()
    if not words:
        if not scripts and not wrapper.sub and wrapper.privilege and not outer.flags & {"-l", "-v", "-k", "-K", "-V", "-h", "--help", "--version"}:
            walker.flag("privilege.shell", scoring.SERIOUS, "Opens a shell with other rights.", outer.excerpt, span=outer.span)
        return flow
    first = canonical(words[0].text)
    if (name == "watch" and len(words) == 1) or (name in ("parallel", "watch", "hyperfine", "entr") and " " in words[0].text):
        return interpreters.shell_text(walker, Word(" ".join(w.text for w in words), NONE.union(*(w.taints for w in words))), stdin)
    if first in _TYPED_SHELLS and wrapper.container and len(words) == 1:
        walker.flag("execution.container-shell", scoring.NOTE, "Opens a shell inside a container.", outer.excerpt)
        return flow
    if wrapper.hidden_input and first in _TYPED_SHELLS and all(not w.known or w.text.startswith("-") for w in words[1:]):
        walker.flag("execution.piped", scoring.HIGH, "Runs whatever another program prints.", outer.excerpt, span=outer.span)
        return flow
    if first.startswith("-") and wrapper.container:
        return flow
    if wrapper.container and not words[0].known:
        return flow
    return walker.run_words(words, stdin)


def _production(walker: Walker, call: Invocation, has_effect: bool) -> None:
    if not has_effect:
        return
    for index, arg in enumerate(call.args):
        if _PRODUCTION.match(arg) and (arg.startswith("-") or (index and call.args[index - 1] in _PRODUCTION_OPTIONS)):
            walker.flag("environment.production", scoring.PRODUCTION, "Acts on production.", call.excerpt, "Run it in staging first.")
            return
