"""Places where bash evaluates what looks like data (subscripts, name references, prompts), and functions that start themselves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tree_sitter import Node

from services.approval.risk import patterns, scoring
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


def _names(walker: Walker, command: Node) -> str:
    name = command.child_by_field_name("name")
    return walker.resolver.raw(name) if name is not None else ""
