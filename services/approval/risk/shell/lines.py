"""Where one command ends and the next begins: characters that the grammar takes for white space, and bash does not.

tree-sitter-bash reads over a line end that a backslash follows: of `ls` and `\\rm -rf /` on two lines it makes one harmless `ls`
with arguments. The parser is therefore shown another character in place of such a backslash. To bash a carriage return is a
letter, to the grammar it is a blank: it is shown as a letter too. Whatever other line end was read over is refused.
"""

from __future__ import annotations

import itertools

from tree_sitter import Node, Tree

_STAND_IN = 0x02  # part of a word, as in syntax.Grammar
# After these a backslash at the start of a line means different things inside and outside of quotes, or continues the line.
_KEPT = frozenset(b"'`\n\r")
# Words of one command, or of one redirection: no line end stands between them unless it is escaped.
_ONE_LINE = frozenset("command declaration_command unset_command file_redirect herestring_redirect variable_assignments".split())


def separated(source: bytes) -> bytes:
    """`source` as the parser is to see it, of the same length: backslashes that begin a line, and carriage returns, are letters."""
    if b"\r" in source:
        source = source.replace(b"\r\n", b" \n").replace(b"\r", bytes([_STAND_IN]))
    at = source.find(b"\n\\")
    if at < 0:
        return source
    shown = bytearray(source)
    while at >= 0:
        escaped = source[at + 2 : at + 3]
        if escaped and escaped[0] not in _KEPT:
            shown[at + 1] = _STAND_IN
            if not escaped.isalnum() and escaped[0] < 128:
                shown[at + 2] = _STAND_IN  # \" or \$ is a letter as well
        at = source.find(b"\n\\", at + 2)
    return bytes(shown)


def swallowed(source: bytes, tree: Tree) -> bool:
    """Whether the words of one command of the tree stand on several lines of the source: it was read wrongly."""
    if b"\n" not in source:
        return False
    todo: list[Node] = [tree.root_node]
    while todo:
        node = todo.pop()
        if node.start_point.row == node.end_point.row:
            continue
        children = node.children
        todo += children
        one_line = node.type in _ONE_LINE
        if one_line or node.type == "redirected_statement":
            for before, after in itertools.pairwise(children):
                if one_line or after.type == "file_redirect":
                    gap = source[before.end_byte : after.start_byte]
                    if b"\n" in gap and b"\n" in gap.replace(b"\\\n", b"").replace(b"\\\r\n", b""):
                        return True
    return False
