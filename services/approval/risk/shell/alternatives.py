"""A command whose variables may each have one of a few known values is assessed with every one of them.

The values of one variable go together wherever the command reads it. What any of the alternatives does counts, and what each
of them sets or prints is one of the possible results.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import product
from math import prod
from typing import TYPE_CHECKING

from tree_sitter import Node

from services.approval.risk.detectors.paths import HIDDEN
from services.approval.risk.shell.invocation import Flow
from services.approval.risk.shell.scope import FOLDER
from services.approval.risk.shell.words import NONE, Value

if TYPE_CHECKING:
    from services.approval.risk.shell.walker import Walker

MAX_ALTERNATIVES = 16  # alternatives of one command; each costs as much as a command, and three options that may be left out have 8

# The constructs that read variables themselves. Others only hold such constructs.
READERS = frozenset(
    "command pipeline redirected_statement variable_assignment variable_assignments declaration_command for_statement unset_command".split()
)
# Constructs whose commands are assessed one by one, each with its own alternatives.
_HOLDERS = frozenset(
    "compound_statement subshell if_statement while_statement for_statement c_style_for_statement case_statement function_definition".split()
)
_ELSEWHERE = ("/", "~", "..")


def each(walker: Walker, node: Node, run: Callable[[], Flow]) -> Flow:
    """Runs a construct once for every combination of the values that its variables may have; says what it may print."""
    scope, state = walker.scope, walker.state
    known = {name: value for name in _read(walker, node) if (value := scope.variables.get(name)) is not None and value.options}
    if not known:
        return run()
    choices = [value.options for value in known.values()]
    if prod(map(len, choices)) > MAX_ALTERNATIVES:  # many that may be unset, or counters: all of them hidden, or none that need not be
        run()
        choices = [
            tuple(option for option in value.options if not _is_weak(option.text)) or (Value(HIDDEN, value.taints),) for value in known.values()
        ]
    if prod(map(len, choices)) > MAX_ALTERNATIVES:
        message = f"Variables with more than {MAX_ALTERNATIVES} combinations of values."
        walker.unreadable("too-many", message, walker.resolver.raw(node)[:200])
        return run()
    found: list[Flow] = []

    def one(values: tuple[Value, ...]) -> bool:
        for name, value in zip(known, values, strict=True):
            scope.put(name, value)
        found.append(run())
        return True

    local = state.locals[-1] if state.locals else {}
    before = set(local)
    state.apart += 1
    state.files.unsure += 1
    scope.branches([partial(one, values) for values in product(*choices)], one_runs=True)
    state.files.unsure -= 1
    state.apart -= 1
    local.update({name: value for name, value in known.items() if name in local and name not in before})
    texts = {flow.text for flow in found}
    taints = NONE.union(*(flow.taints for flow in found))
    return Flow(texts.pop() if len(texts) == 1 else None, taints, present=any(flow.present for flow in found))


def _is_weak(text: str) -> bool:
    """Whether a value says no more than a hidden one: it is hidden, or a number that something counts up to."""
    return text == HIDDEN or (text.isdigit() and len(text) < 3)


def _read(walker: Walker, node: Node) -> dict[str, None]:
    """The variables that a construct may read, in order; the working directory is one where it may be elsewhere."""
    names: dict[str, None] = {}
    folder = walker.scope.variables.get(FOLDER)
    if folder is not None and any(option.text.startswith(_ELSEWHERE) for option in folder.options):
        names[FOLDER] = None
    source = walker.resolver.source[node.start_byte : node.end_byte]
    if b"$" not in source and b"+=" not in source:
        return names
    names["IFS"] = None
    todo = node.children_by_field_name("value") if node.type == "for_statement" else list(node.children)
    if node.type == "variable_assignment":
        todo = _of_assignment(node)
    while todo:
        current = todo.pop()
        kind = current.type
        if kind == "variable_assignment":
            todo += _of_assignment(current)
        elif kind in ("variable_name", "special_variable_name"):
            name = walker.resolver.raw(current)
            names[name if name.isidentifier() else "@"] = None
        elif kind not in _HOLDERS:
            todo += current.children
    return names


def _of_assignment(node: Node) -> list[Node]:
    """What an assignment reads: the value, and the variable itself where it is added to."""
    if any(child.type == "+=" for child in node.children):
        return list(node.children)
    return [child for child in node.children if child.type != "variable_name"]
