"""Builtins that change what the script's names stand for, or which of its commands run next."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from services.approval.risk import patterns
from services.approval.risk.detectors.paths import HIDDEN
from services.approval.risk.shell.words import Value, Word

if TYPE_CHECKING:
    from services.approval.risk.shell.walker import Walker

DECLARES = frozenset("declare typeset local export readonly".split())
LOCAL = frozenset("declare typeset local".split())  # inside a function their variables end with it
_ASSIGNED = patterns.compile(r"([A-Za-z_][A-Za-z0-9_]*)(?:\[[^\]]*\])?\s*(?:(?:[-+*/%&|^]|<<|>>)?=|\+\+|--)")


def run(walker: Walker, words: Sequence[Word]) -> None:
    """Does what a builtin of this name does to the script's own state."""
    if (builtin := _BUILTINS.get(words[0].text)) is not None:
        builtin(walker, words)


def make_local(walker: Walker, name: str) -> None:
    """Remembers what a function's own variable hides until the function ends."""
    if walker.state.locals:
        walker.state.locals[-1].setdefault(name, walker.scope.variables.get(name))


def _declare(walker: Walker, words: Sequence[Word]) -> None:
    """`declare "X=v"`: assignments in the arguments, those that the grammar does not see as such."""
    local = words[0].text in LOCAL and not any(w.text.startswith("-") and "g" in w.text for w in words[1:])
    for word in words[1:]:
        name, equals, text = word.text.partition("=")
        if name.startswith(("-", "+")):
            continue
        name = name.removesuffix("+")
        if HIDDEN in name:
            walker.scope.hide()
            continue
        if local and name.isidentifier():
            make_local(walker, name)
        if equals and name.partition("[")[0].isidentifier():
            plain = name.isidentifier() and not word.text.startswith(name + "+")
            walker.assign(name.partition("[")[0], Value(text if plain and not text.startswith("(") else HIDDEN, word.taints))


def _unset(walker: Walker, words: Sequence[Word]) -> None:
    for word in words[1:]:
        if not word.known:
            walker.scope.hide()
        elif not word.text.startswith("-"):
            name = word.text.partition("[")[0]
            walker.scope.put(name, Value())
            walker.scope.undefine(name)


def _alias(walker: Walker, words: Sequence[Word]) -> None:
    for word in words[1:]:
        name, equals, value = word.text.partition("=")
        if equals and value:
            walker.scope.alias(name, Value(value, word.taints))


def _hash(walker: Walker, words: Sequence[Word]) -> None:
    """`hash -p PATH NAME`: the name starts that program from here on."""
    if len(words) > 3 and words[1].text == "-p":
        for word in words[3:]:
            walker.scope.alias(word.text, Value(shlex.quote(words[2].text), words[2].taints))


def _set(walker: Walker, words: Sequence[Word]) -> None:
    """`set -- a b`, `set a b`; options alone change no argument."""
    rest = list(words[1:])
    while rest and rest[0].text[:1] in ("-", "+") and rest[0].text not in ("-", "--"):
        if "e" in rest[0].text or (len(rest) > 1 and rest[1].text == "errexit"):
            walker.state.exits = rest[0].text[0] == "-" and walker.state.nested == 1 and not walker.state.apart
        taken = 2 if rest[0].text in ("-o", "+o") else 1
        rest = rest[taken:]
    if rest:
        walker.set_arguments(rest[1:] if rest[0].text in ("-", "--") else rest)


def _shift(walker: Walker, words: Sequence[Word]) -> None:
    arguments = walker.scope.variables.get("@")
    if arguments is None or arguments.items is None:
        return
    count = words[1].text if len(words) > 1 else "1"
    items = arguments.items
    if not count.isdigit() or len(count) > 4 or any(HIDDEN in item for item in items[: int(count)]):
        walker.scope.put("@", Value(HIDDEN, arguments.taints))
    elif int(count) <= len(items):
        walker.set_arguments([Word(item, arguments.taints) for item in items[int(count) :]])


def _let(walker: Walker, words: Sequence[Word]) -> None:
    for word in words[1:]:
        if not word.known:
            walker.scope.hide()
        walker.scope.hide(match.group(1) for match in _ASSIGNED.finditer(word.text))


def _getopts(walker: Walker, words: Sequence[Word]) -> None:
    walker.scope.hide([word.text for word in words[2:3]] + ["OPTARG", "OPTIND"])


def _trap(walker: Walker, words: Sequence[Word]) -> None:
    """A trap runs later, with what the variables hold then."""
    rest = words[2:] if len(words) > 1 and words[1].text == "--" else words[1:]
    if len(rest) > 1 and rest[0].known and rest[0].text and not rest[0].text.startswith("-"):
        walker.state.later.append((rest[0], walker.scope.mark()))


def _enable(walker: Walker, words: Sequence[Word]) -> None:
    del words
    walker.state.enabled = True


def _jump(walker: Walker, words: Sequence[Word]) -> None:
    del words
    walker.state.jumps += 1


_BUILTINS: dict[str, Callable[[Walker, Sequence[Word]], None]] = {
    **dict.fromkeys(DECLARES, _declare),
    **dict.fromkeys(("return", "break", "continue"), _jump),
    "unset": _unset,
    "alias": _alias,
    "hash": _hash,
    "set": _set,
    "shift": _shift,
    "let": _let,
    "enable": _enable,
    "getopts": _getopts,
    "trap": _trap,
}
