"""From source to a syntax tree: within bounds, and with what notebooks and interactive sessions put around it."""

from __future__ import annotations

import ast
import textwrap
import warnings

MAX_SOURCE = 1 << 17  # characters of one program
MAX_NODES = 20_000  # nodes of its tree; reading each takes 10 to 25 microseconds
MAX_DEPTH = 90  # expressions and blocks inside each other
MAX_BRACKETS = 400  # open brackets at once; the interpreter itself stops at 200


class Unreadable(Exception):
    """Why a program is not analysed: `id` is part of a factor's id."""

    def __init__(self, id: str, message: str) -> None:
        super().__init__(message)
        self.id = id
        self.message = message


def parse(source: str) -> tuple[ast.Module, list[str]]:
    """The tree of a program, and the shell commands of its notebook lines. Raises Unreadable."""
    if len(source) > MAX_SOURCE:
        raise Unreadable("too-large", f"Source of {len(source)} characters; at most {MAX_SOURCE} are analysed.")
    if _brackets(source) > MAX_BRACKETS:
        raise Unreadable("too-deep", "Nested deeper than is analysed.")
    commands: list[str] = []
    try:
        tree = _tree(source)
    except SyntaxError:
        plain, commands = _plain(source)
        if plain == source:
            raise Unreadable("python-syntax", "Not valid Python 3: it cannot be read with certainty.") from None
        try:
            tree = _tree(plain)
        except SyntaxError:
            raise Unreadable("python-syntax", "Not valid Python 3: it cannot be read with certainty.") from None
    _check(tree)
    return tree, commands


def parses(source: str) -> bool:
    """Whether a text is a program."""
    try:
        parse(source)
    except Unreadable:
        return False
    return True


def _tree(source: str) -> ast.Module:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(source)
    except SyntaxError:
        raise
    except (ValueError, RecursionError, MemoryError):  # null bytes, surrogates, or nested deeper than the parser's stack
        raise Unreadable("too-deep", "Nested deeper than is analysed, or made of characters that are no text.") from None


def _brackets(source: str) -> int:
    """Brackets open at once, text in quotes counted too."""
    if source.count("(") + source.count("[") + source.count("{") <= MAX_BRACKETS:
        return 0
    depth = most = 0
    for character in source:
        if character in "([{":
            depth += 1
            most = max(most, depth)
        elif character in ")]}" and depth:
            depth -= 1
    return most


def _plain(source: str) -> tuple[str, list[str]]:
    """The source without the prompts of a session or the magics of a notebook, and the shell commands of those."""
    if source.lstrip().startswith(">>>"):
        return "\n".join(line.lstrip()[4:] for line in source.split("\n") if line.lstrip().startswith((">>> ", "... "))), []
    if source[:1] in (" ", "\t"):
        source = textwrap.dedent(source)
    lines, commands = source.split("\n"), []
    for index, line in enumerate(lines):
        stripped = line.lstrip()
        name, _, rest = stripped.partition(" ")
        if stripped.startswith("!"):
            commands.append(stripped.lstrip("!"))
        elif name in ("%%bash", "%%sh", "%%script") and not any(each.strip() for each in lines[:index]):
            return "", ["\n".join(lines[index + 1 :])]
        elif name in ("%pip", "%conda", "%sx", "%system"):
            commands.append(rest if name in ("%sx", "%system") else stripped[1:])
        elif name in ("%time", "%timeit", "%%time", "%%timeit", "%%capture", "%matplotlib", "%load_ext", "%autoreload", "%config", "%cd", "%env"):
            pass
        else:
            continue
        lines[index] = line[: len(line) - len(stripped)] + ("pass" if not name.startswith("%%") else "")
    return "\n".join(lines), commands


def _check(tree: ast.Module) -> None:
    todo: list[tuple[ast.AST, int]] = [(tree, 0)]
    count = 0
    while todo:
        node, depth = todo.pop()
        count += 1
        if depth > MAX_DEPTH:
            raise Unreadable("too-deep", "Nested deeper than is analysed.")
        if count > MAX_NODES:
            raise Unreadable("too-large", f"A program of more than {MAX_NODES} parts.")
        for child in ast.iter_child_nodes(node):
            todo.append((child, depth if _continues(node, child) else depth + 1))


def _continues(node: ast.AST, child: ast.AST) -> bool:
    """What is read in a loop, not by going deeper: a + b + c, elif."""
    if isinstance(node, ast.BinOp):
        return child is node.left and isinstance(child, ast.BinOp)
    return isinstance(node, ast.If) and len(node.orelse) == 1 and child is node.orelse[0] and isinstance(child, ast.If)
