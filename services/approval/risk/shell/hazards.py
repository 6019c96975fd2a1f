"""Places where bash evaluates what looks like data (subscripts, name references, prompts), and functions that start themselves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tree_sitter import Node

from services.approval.risk import patterns, scoring
from services.approval.risk.shell import amounts
from services.approval.risk.shell.words import Value, Word

if TYPE_CHECKING:
    from services.approval.risk.shell.walker import Walker

# A subscript with a substitution in it: arithmetic, `test -v`, `printf -v`, `read` and `unset` run it when they meet it.
_SUBSCRIPT = patterns.compile(r"\w\[[^\]]*(?:\$\(|`|\$\{)")
_PROMPT = patterns.compile(r"\$\{\w+(?:\[[^]]*\])?@P\}")
_EVALUATE_NAMES = frozenset("test [ printf read unset let declare typeset local export readonly mapfile readarray wait getopts".split())


def check_text(walker: Walker, text: str) -> None:
    """Expansions that run what a variable holds."""
    if "@P}" in text and _PROMPT.search(text):
        walker.unreadable("prompt-expansion", "Expands a variable as a prompt, which runs the commands in it.", text)


def check_value(walker: Walker, value: Value) -> None:
    """A value that runs commands once it is used as a number or as a name."""
    if "[" in value.text and _SUBSCRIPT.search(value.text):
        walker.flag("evasion.subscript", scoring.MEDIUM, "Hides a command in a subscript, where arithmetic runs it.", value.text)


def check_declaration(walker: Walker, words: Sequence[Word]) -> None:
    """`declare -n`: what is assigned afterwards goes to another variable than the text says."""
    if _has_flag(words, "n"):
        walker.unreadable(
            "name-reference", "Makes a variable stand for another: what is run cannot be followed.", " ".join(word.text for word in words)
        )


def check_words(walker: Walker, words: Sequence[Word]) -> None:
    """Arguments that builtins evaluate as names, and builtins that load code."""
    name = words[0].text if words else ""
    if name in _EVALUATE_NAMES:
        for word in words[1:]:
            check_value(walker, Value(word.text, word.taints))
    if name == "enable" and _has_flag(words, "f"):
        text = " ".join(word.text for word in words)
        walker.flag("escape.loaded-builtin", scoring.HIGH, "Loads a file of machine code into the shell.", text)


def _has_flag(words: Sequence[Word], letter: str) -> bool:
    return any(word.text[:1] == "-" and letter in word.text and word.text[1:2] != "-" for word in words[1:])


def check_quoted(walker: Walker, test: Node) -> None:
    """`[[ 'a[$(..)]' -eq 1 ]]`: a test evaluates what stands there in quotes."""
    if "'" not in (text := walker.resolver.raw(test)) or "[" not in text:
        return
    todo = [test]
    while todo:
        current = todo.pop()
        if current.type == "raw_string":
            check_value(walker, Value(walker.resolver.raw(current)))
        todo += current.named_children


def check_fork_bomb(walker: Walker, commands: Sequence[Node]) -> None:
    """A function that starts itself twice over, in a pipe or in the background."""
    for function in walker.state.active:
        own = [node for node in commands if node.type == "command" and _names(walker, node) == function.name]
        if len(own) > 1:
            walker.flag("resource.fork-bomb", scoring.CRITICAL, "Starts copies of itself without end.", function.name)


_FEW = 10  # rounds of a loop whose body is not looked at: what it does once is what counts
MANY = 1000  # rounds of a loop that start as many programs at once
_COUNTS = patterns.compile(r"\{\d+\.\.(\d{1,12})\}|\bseq (?:-\w+ )?(?:\d+ )*(\d{1,12})\b")
_ENDLESS = frozenset({"true", ":", "[ 1 ]", "[[ 1 ]]", "((1))", "(( 1 ))", "/bin/true", "test 1"})
_NEVER = frozenset({"false", "! true", "[ 0 -eq 1 ]"})
# What ends a loop or makes it wait: for time, for input, for what was started.
_PAUSES = frozenset("sleep usleep wait read break exit return inotifywait select pause tail curl wget nc ssh kill exec entr fswatch".split())


def check_endless(walker: Walker, loop: Node) -> None:
    """`while true` without an end or a pause: it starts programs beside it, or writes to the end of a file."""
    condition, body = loop.child_by_field_name("condition"), loop.child_by_field_name("body")
    if body is None or condition is None:
        return
    endless = _NEVER if loop.children[0].type == "until" else _ENDLESS
    said = walker.resolver.raw(condition).strip().rstrip(";").strip()
    if said not in endless:
        return
    beside, pauses, grows, size = _round(walker, body)
    excerpt = walker.resolver.raw(loop)[:200]
    if beside and not pauses:
        walker.flag(
            "resource.fork-bomb",
            scoring.HIGH,
            "Starts programs beside it without end.",
            excerpt,
            "Start a number of them, and wait.",
            walker.span(loop),
        )
    elif (grows or size) and not pauses:
        walker.flag("resource.fill", scoring.MEDIUM, "Writes until the disk is full.", excerpt, "Say how much to write.", walker.span(loop))


def check_rounds(walker: Walker, loop: Node, rounds: int) -> None:
    """A loop of many rounds, each of which starts a program beside it and waits for none."""
    body = loop.child_by_field_name("body")
    if body is None:
        return
    said = walker.resolver.source[loop.start_byte : body.start_byte].decode("utf-8", "replace")
    for match in _COUNTS.finditer(said) if ".." in said or "seq" in said else ():
        rounds = max(rounds, int(match.group(1) or match.group(2)))
    if rounds < _FEW:
        return
    beside, pauses, _, size = _round(walker, body)
    if size * rounds >= amounts.LARGE:
        excerpt = walker.resolver.raw(loop)[:200]
        walker.flag("resource.fill", scoring.MEDIUM, "Takes a great part of a disk.", excerpt, "Say how much to write.", walker.span(loop))
    if rounds >= MANY and beside and not pauses:
        walker.flag(
            "resource.fork-bomb",
            scoring.SERIOUS,
            f"Starts {rounds} programs at once.",
            walker.resolver.raw(loop)[:200],
            "Start a few, and wait for them.",
            walker.span(loop),
        )


def _round(walker: Walker, body: Node) -> tuple[bool, bool, bool, int]:
    """Of one round of a loop: whether it starts something in the background, has an end or a pause, adds to a file, and writes how much."""
    beside = pauses = grows = False
    size = 0
    todo = [body]
    while todo:
        current = todo.pop()
        children = current.children
        for index, child in enumerate(children):
            if index + 1 < len(children) and children[index + 1].type == "&":
                beside = True
                continue
            if child.type == "command" and _names(walker, child) in _PAUSES:
                pauses = True
            elif child.type == "command":
                size += amounts.written(walker.resolver.raw(child).split())
            elif child.type == "file_redirect" and any(part.type == ">>" for part in child.children):
                grows = grows or not walker.resolver.raw(child).endswith("/dev/null")
            todo.append(child)
    return beside, pauses, grows, size


def _names(walker: Walker, command: Node) -> str:
    name = command.child_by_field_name("name")
    return walker.resolver.raw(name) if name is not None else ""
