"""A program's syntax tree as plain nodes in the order in which they can be evaluated, children before parents."""

from __future__ import annotations

import dataclasses

from tree_sitter import Tree

MAX_NODES = 60_000  # of one program; reading it takes about 10 µs a node


class TooManyNodes(Exception):
    """The program is larger than what is read."""


@dataclasses.dataclass(slots=True, eq=False)
class Node:
    """A named part of a program, or an operator. In the order of evaluation its descendants are those from `first` to `last`."""

    type: str
    field: str
    start: int
    end: int
    first: int = 0
    last: int = 0
    children: list[Node] = dataclasses.field(default_factory=list)

    def get(self, name: str) -> Node | None:
        """The child in a field."""
        return next((child for child in self.children if child.field == name), None)

    def all(self, name: str) -> list[Node]:
        """The children in a field that may hold several."""
        return [child for child in self.children if child.field == name]


def in_order(tree: Tree) -> list[Node]:
    """Every node, children before parents, without a call per level of nesting. Raises TooManyNodes."""
    cursor = tree.walk()
    done: list[Node] = []
    opened: list[Node] = []
    while True:
        current = cursor.node
        assert current is not None
        name = cursor.field_name or ""
        if current.is_named or name == "operator":
            node = Node(current.type, name, current.start_byte, current.end_byte, len(done))
            if len(done) + len(opened) > MAX_NODES:
                raise TooManyNodes
            if opened:
                opened[-1].children.append(node)
            if cursor.goto_first_child():
                opened.append(node)
                continue
            node.last = len(done)
            done.append(node)
        while not cursor.goto_next_sibling():
            if not cursor.goto_parent():
                return done
            opened[-1].last = len(done)
            done.append(opened.pop())
