"""Assignments and declarations: `X=v`, `X+=v`, `X[1]=v`, `declare X=v`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tree_sitter import Node

from services.approval.risk.detectors.paths import HIDDEN
from services.approval.risk.shell import builtins, hazards
from services.approval.risk.shell.invocation import Flow
from services.approval.risk.shell.words import NONE, Value, Word

if TYPE_CHECKING:
    from services.approval.risk.shell.walker import Walker

MAX_VALUE = 16384  # characters that a variable may hold; more is hidden. Adding to one copies it and looks at it again


def assign(walker: Walker, node: Node) -> str:
    """Carries out `X=v`, `X+=v`, `X[1]=v`; gives the name."""
    name_node, value_node = node.child_by_field_name("name"), node.child_by_field_name("value")
    if name_node is None:
        return ""
    resolver = walker.resolver
    name = resolver.raw(name_node)
    index: str | None = None
    if name_node.type == "subscript":
        resolver.run_inside(name_node)  # a subscript is evaluated
        name, _, index = name.removesuffix("]").partition("[")
    if value_node is None:
        value = Value("")
    else:
        value = resolver.array(value_node) if value_node.type == "array" else resolver.text(value_node)
        if node.end_byte > value_node.end_byte:  # the grammar leaves a part of the value out
            value = Value(HIDDEN, value.taints)
    for text in value.items if value.items is not None else (value.text,):
        hazards.check_value(walker, Value(text, value.taints))
    appends = any(child.type == "+=" for child in node.children)
    if index is not None:
        value = _with_element(walker.scope.variables.get(name), index, value, appends=appends)
    elif appends:
        value = _appended(walker.resolver.lookup(name), value)
    walker.assign(name, value)
    return name


def _appended(before: Value, value: Value) -> Value:
    taints = before.taints | value.taints
    if value.items is not None or before.items is not None:
        if before.items is None and before.text == HIDDEN:
            return Value(HIDDEN, taints)
        old = before.items if before.items is not None else (before.text,)
        items = old + value.items if value.items is not None else (old[0] + value.text, *old[1:]) if old else (value.text,)
        return Value(items[0] if items else "", taints, items=items) if sum(map(len, items)) < MAX_VALUE else Value(HIDDEN, taints)
    joined = before.text + value.text
    return Value(joined if len(joined) < MAX_VALUE else HIDDEN, taints)


def _with_element(before: Value | None, index: str, value: Value, *, appends: bool) -> Value:
    """An array with one element set: known while its elements are set one after the other."""
    items = before.items if before is not None and before.items is not None else None
    if items is None:
        items = () if before is None or before.text == HIDDEN else (before.text,)
    taints = value.taints | (before.taints if before is not None else NONE)
    if not index.isdigit() or len(index) > 4 or int(index) > len(items) or appends:
        return Value(HIDDEN, taints)
    at = int(index)
    items = (*items[:at], value.text, *items[at + 1 :])
    return Value(items[0], taints, items=items)


def assignments(walker: Walker, node: Node, stdin: Flow) -> Flow:
    del stdin
    for each in [node] if node.type == "variable_assignment" else node.named_children:
        assign(walker, each)
    return Flow()


def declaration(walker: Walker, node: Node, stdin: Flow) -> Flow:
    keyword = walker.resolver.raw(node).split(None, 1)[0]
    given = [Word(keyword, NONE, node.start_byte, node.end_byte) if walker.span(node) else Word(keyword)]
    assigned: list[Node] = []
    for child in node.named_children:
        if child.type == "variable_assignment":
            assigned.append(child)
        elif child.type == "variable_name":
            given.append(Word(walker.resolver.raw(child)))
        elif child.type != "comment":
            given += walker.resolver.words(child)
    if keyword != "unset":
        hazards.check_declaration(walker, given)
    globally = any(word.text.startswith("-") and "g" in word.text for word in given[1:])
    for child in assigned:
        if keyword in builtins.LOCAL and not globally and (name := child.child_by_field_name("name")) is not None:
            builtins.make_local(walker, walker.resolver.raw(name).partition("[")[0])
        assign(walker, child)
    return walker.run_words(given, stdin)
