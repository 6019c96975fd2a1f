"""Turns the words of a parsed script into the text that a program would get, as far as that is known before it runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tree_sitter import Node

from services.approval.risk.detectors.paths import HIDDEN
from services.approval.risk.shell import arithmetic, words
from services.approval.risk.shell.words import MARKS, NONE, SPLIT, Value, Word

MAX_DEPTH = 30  # expansions inside expansions; deeper is hidden
MAX_VALUE = 65536  # characters that a variable may hold; more is hidden
MAX_WORDS = 20_000  # words that the expansions of one assessment may make; further ones are hidden
MAX_CHARACTERS = 4 << 20  # characters that the values of one assessment may have together; further ones are hidden

# What a variable holds when the script has not set it, close enough for naming paths and programs.
WELL_KNOWN = {"IFS": " \t\n", "HOME": "~", "PWD": ".", "OLDPWD": "..", "SHELL": "/bin/sh", "PATH": "/usr/bin", "TMPDIR": "/tmp"}
_ABSOLUTE = frozenset({"HOME", "PWD", "OLDPWD", "SHELL", "PATH", "TMPDIR"})  # all begin with a slash

_BARE = frozenset("word number variable_name special_variable_name regex extglob_pattern test_operator file_descriptor heredoc_start".split())
_DEFAULTS = frozenset({":-", "-", ":=", "="})
_GLOB = frozenset("*?[")

Lookup = Callable[[str], Value]
Assign = Callable[[str, Value], None]
Substitute = Callable[[Node], Value]
Run = Callable[[str], Value]


class Resolver:
    """Resolves the words of the script in `source`.

    `lookup` knows variables ("@" the arguments), `assign` sets one (`${X:=v}`), `substitute` knows what a substitution prints,
    `run` what a script in a subshell prints: for substitutions that the grammar leaves in a text.
    """

    def __init__(self, lookup: Lookup, assign: Assign, substitute: Substitute, run: Run) -> None:
        self.source = b""
        self.lookup = lookup
        self._assign = assign
        self._substitute = substitute
        self._run = run
        self._depth = 0
        self._words = 0
        self._characters = 0

    def raw(self, node: Node) -> str:
        return self.source[node.start_byte : node.end_byte].decode("utf-8", "replace")

    def words(self, node: Node) -> list[Word]:
        """The words that one argument makes: none, one, or several after splitting and brace lists."""
        kind = node.type
        start, end = node.start_byte, node.end_byte
        if kind == "word" or kind == "raw_string":  # nearly all of them
            text = self.source[start:end].decode("utf-8", "replace")
            if kind == "raw_string":
                return [Word(text[1:-1], NONE, start, end)]
            if "\\" not in text and "{" not in text and not node.child_count:
                return [Word(text, NONE, start, end)]
        value = self._value(node, quoted=False)
        if value.text.isascii():
            return [Word(value.text, value.taints, start, end)]
        if self._words > MAX_WORDS:
            return [Word(HIDDEN, value.taints, start, end)]
        texts = words.pieces(value.text, MAX_WORDS)
        self._words += len(texts)
        return [Word(text, value.taints, start, end) for text in texts]

    def text(self, node: Node) -> Value:
        """The value of a node as one word, as in an assignment: nothing splits and nothing expands."""
        value = self._value(node, quoted=True)
        return value if value.text.isascii() else Value(words.without_marks(value.text), value.taints, value.items)

    def array(self, node: Node) -> Value:
        """The value of `(a b c)`."""
        found = [word for child in node.named_children for word in self.words(child)]
        items = tuple(word.text for word in found)
        taints = NONE.union(*(word.taints for word in found)) if found else NONE
        return Value(items[0] if items else "", taints, items=items)

    def number(self, node: Node) -> int | None:
        """The value of an arithmetic expression."""
        return arithmetic.evaluate(node, self._number_text)

    def _number_text(self, node: Node) -> str:
        if node.type == "variable_name" or (node.type == "word" and self.raw(node).isidentifier()):
            value = self.lookup(self.raw(node))
            return value.text if HIDDEN not in value.text else ""
        text = self.text(node).text
        return "" if HIDDEN in text else text

    # -- values -------------------------------------------------------------------------------------------------------

    def _value(self, node: Node, *, quoted: bool) -> Value:
        if self._depth >= MAX_DEPTH:
            return Value()
        self._depth += 1
        try:
            value = self._value_of(node, quoted)
        finally:
            self._depth -= 1
        self._characters += len(value.text)
        return value if self._characters <= MAX_CHARACTERS else Value(HIDDEN, value.taints)

    def _value_of(self, node: Node, quoted: bool) -> Value:
        kind = node.type
        if kind == "regex" and self._run_pattern(node):
            return Value()
        if kind in _BARE:
            if node.child_count and kind in ("word", "number"):
                return self._joined(node, quoted)
            return Value(words.unescape(self.raw(node), marks=not quoted))
        if kind == "concatenation":
            return self._joined(node, quoted)
        if kind == "command_name":
            return self._value(node.children[0], quoted=quoted) if node.child_count == 1 else self._joined(node, quoted)
        if kind == "raw_string":
            return Value(self.raw(node)[1:-1])
        if kind == "ansi_c_string":
            return Value(words.decode_ansi(self.raw(node)[2:-1]))
        if kind in ("string", "translated_string"):
            return self._string(node)
        if kind == "simple_expansion":
            return self._split(self.lookup(self.raw(node)[1:]), quoted)
        if kind == "expansion":
            return self._expansion(node, quoted)
        if kind == "arithmetic_expansion":
            return self._arithmetic(node)
        if kind == "command_substitution":
            return self._split(self._substitute(node), quoted)
        if kind == "process_substitution":
            return self._substitute(node)
        if kind == "array":
            return self.array(node)
        if kind == "brace_expression" or node.child_count == 0:
            return Value(words.unescape(self.raw(node), marks=not quoted))
        return Value()

    def _joined(self, node: Node, quoted: bool) -> Value:
        return self._range(node.children, node.start_byte, node.end_byte, quoted)

    def _range(self, children: Sequence[Node], start: int, end: int, quoted: bool) -> Value:
        """The text of children that stand next to each other, with what the grammar leaves between them."""
        if len(children) == 1 and children[0].start_byte == start and children[0].end_byte == end:
            return self._value(children[0], quoted=quoted)
        parts: list[str] = []
        taints: frozenset[str] = NONE
        position = start
        for child in children:
            if child.start_byte > position:
                gap = self.source[position : child.start_byte].decode("utf-8", "replace")
                parts.append(words.unescape(gap, marks=not quoted))
            position = child.end_byte
            if child.type == "$" and self.source[position : position + 1] == b'"':  # $"..." is a string to be translated
                continue
            value = self._value(child, quoted=quoted)
            parts.append(value.text)
            taints = taints | value.taints if value.taints else taints
        if position < end:
            parts.append(words.unescape(self.source[position:end].decode("utf-8", "replace"), marks=not quoted))
        text = "".join(parts)
        return Value(text if len(text) <= MAX_VALUE else HIDDEN, taints)

    def _string(self, node: Node) -> Value:
        children = node.children
        if node.type == "translated_string":
            return self._joined(node, quoted=True)
        inner = children[1:-1]
        if not inner and len(children) == 2:  # only blanks, which the grammar leaves out
            return Value(words.unescape_some(self.raw(node)[1:-1], '$`"\\'))
        if len(inner) == 1 and inner[0].type != "string_content" and inner[0].end_byte - inner[0].start_byte == node.end_byte - node.start_byte - 2:
            return self._value(inner[0], quoted=True)  # "$X" is what X is
        return self._quoted(inner, node.start_byte + 1, node.end_byte - 1, '$`"\\')

    def heredoc(self, node: Node, *, literal: bool) -> Value:
        """The text of a here-document."""
        if literal:
            return Value(self.raw(node))
        value = self._quoted(node.children, node.start_byte, node.end_byte, "$`\\")
        raw = self.raw(node)
        return self._backquoted(raw) if "`" in raw else value

    def _backquoted(self, text: str) -> Value:
        """A here-document with backquotes, which the grammar does not see in it; what else expands is left as it is."""
        parts: list[str] = []
        taints: frozenset[str] = NONE
        for piece, inside in words.backquoted(text):
            if inside:
                value = self._run(words.unescape_some(piece, "$`\\"))
                taints = taints | value.taints
                parts.append(value.text)
            else:
                parts.append(words.unescape_some(piece, "`\\"))
        text = "".join(parts)
        return Value(text if len(text) <= MAX_VALUE else HIDDEN, taints)

    def _quoted(self, children: Sequence[Node], start: int, end: int, escapes: str) -> Value:
        parts: list[str] = []
        taints: frozenset[str] = NONE
        position = start
        for child in children:
            if child.type in ("string_content", "heredoc_content"):
                continue
            if child.start_byte > position:
                parts.append(words.unescape_some(self.source[position : child.start_byte].decode("utf-8", "replace"), escapes))
            position = child.end_byte
            value = self._value(child, quoted=True)
            parts.append(value.text)
            taints = taints | value.taints if value.taints else taints
        parts.append(words.unescape_some(self.source[position:end].decode("utf-8", "replace"), escapes))
        text = "".join(parts)
        return Value(text if len(text) <= MAX_VALUE or (not taints and HIDDEN not in text) else HIDDEN, taints)

    def _split(self, value: Value, quoted: bool) -> Value:
        """What an expansion gives: in quotes the value, bare its words."""
        if quoted or value.text.isalnum() or not value.text:
            return value if quoted or value.text else Value(SPLIT, value.taints)
        separators = self.lookup("IFS").text
        if HIDDEN in separators or any(mark in separators for mark in MARKS):
            return Value(HIDDEN, value.taints)
        return words.split(value, separators)

    def _arithmetic(self, node: Node) -> Value:
        inner = node.named_children
        self.run_inside(node)
        known = self.number(inner[0]) if len(inner) == 1 else None
        return Value(str(known)) if known is not None else Value()

    def run_inside(self, node: Node) -> None:
        """Runs the substitutions and assignments of a place that is only data otherwise: arithmetic, a test, a subscript."""
        todo = [node]
        while todo:
            current = todo.pop()
            children = current.children
            if current.type in ("command_substitution", "process_substitution"):
                self._substitute(current)
            elif current.type == "expansion":
                self._value(current, quoted=True)
            elif current.type == "regex":
                self._run_pattern(current)
            else:
                if len(children) > 1 and any(child.type in arithmetic.ASSIGNS for child in children):
                    self._assign_number(current, children)
                todo += [child for child in children if child.is_named]

    def _run_pattern(self, node: Node) -> bool:
        """Whether the text of a pattern has expansions; the grammar leaves them in it. Its substitutions are run."""
        raw = self.raw(node)
        if "$(" in raw or "`" in raw:
            self._run(": " + raw)
            return True
        return "$" in raw

    def _assign_number(self, node: Node, children: Sequence[Node]) -> None:
        target = next((child for child in children if child.is_named), None)
        if target is None:
            return
        value = self.number(children[2]) if len(children) == 3 and children[1].type == "=" else None
        name = self.raw(target).partition("[")[0]
        if name.isidentifier():
            self._assign(name, Value(str(value)) if value is not None else Value())

    # -- ${...} -------------------------------------------------------------------------------------------------------

    def _expansion(self, node: Node, quoted: bool) -> Value:
        children = node.children
        at = 1
        if len(children) < 3:
            return Value()
        prefix = children[at].type if not children[at].is_named else ""
        if prefix == "#" and len(children) > 3:
            value = self._subject(children[2])
            whole = value.items is not None and children[2].type == "subscript"
            size = len(value.items) if whole and value.items is not None else len(value.text)
            return Value(str(size)) if HIDDEN not in value.text and len(children) == 4 else Value()
        if prefix == "#":
            return self.lookup("#")
        if prefix:
            for child in node.named_children:
                self.run_inside(child)
            return Value()
        subject = children[at]
        value = self._subject(subject)
        name = self.raw(subject)
        if value.items is not None and subject.type != "subscript" and name != "@":
            value = Value(value.text, value.taints)  # the name of an array alone is its first element
        rest = children[at + 1 : -1]
        if not rest:
            return self._split(value, quoted) if name != "*" or quoted else self._split(Value(value.text.replace(SPLIT, " "), value.taints), quoted)
        return self._operated(name, value, rest, node.end_byte - 1, quoted)

    def _subject(self, node: Node) -> Value:
        """The value of `X`, `X[1]` or `X[@]`."""
        if node.type != "subscript":
            return self.lookup(self.raw(node))
        inner = node.named_children
        if len(inner) != 2:
            return Value()
        value = self.lookup(self.raw(inner[0]))
        index = self.raw(inner[1])
        if index in ("@", "*"):
            if value.items is None:
                return value
            return Value(SPLIT.join(value.items) if value.items else SPLIT, value.taints, items=value.items)
        self.run_inside(node)
        position = self.number(inner[1])
        if position is None or value.items is None:
            return value if position == 0 else Value(HIDDEN, value.taints)
        return Value(value.items[position] if -len(value.items) <= position < len(value.items) else "", value.taints)

    def _operated(self, name: str, value: Value, rest: Sequence[Node], end: int, quoted: bool) -> Value:
        sign = rest[0].type if not rest[0].is_named else ""
        operand_start = rest[0].end_byte
        known = HIDDEN not in value.text
        if sign in _DEFAULTS:
            # A variable that the script has not set is taken for unset; one that holds something hidden is not.
            if (known and (value.text or not sign.startswith(":"))) or (not known and value.taints):
                return self._split(value, quoted)
            given = self._range(rest[1:], operand_start, end, quoted)
            if sign in (":=", "="):
                self._assign(name, Value(words.without_marks(given.text), given.taints))
            return given
        if sign in (":+", "+"):
            given = self._range(rest[1:], operand_start, end, quoted)
            return Value("" if quoted else SPLIT) if known and not value.text and sign == ":+" else given
        if sign in (":?", "?"):
            self._range(rest[1:], operand_start, end, quoted=True)
            return self._split(value, quoted)
        if sign in ("^", "^^", ",", ",,") and len(rest) == 1 and known:
            return self._split(Value(_case(value.text, sign), value.taints), quoted)
        operand = self._range(rest[1:], operand_start, end, quoted=True)
        taints = value.taints | operand.taints if operand.taints else value.taints
        if not known or HIDDEN in operand.text:
            return Value(HIDDEN, taints)
        if value.items is not None and sign == ":":
            found = _part(name, value.items, operand.text)
        elif value.items is not None:
            each = [self._changed(name, item, sign, operand.text, rest, end) for item in value.items]
            found = SPLIT.join(item or "" for item in each) or SPLIT if None not in each else None
        else:
            found = self._changed(name, value.text, sign, operand.text, rest, end)
        return self._split(Value(found, taints), quoted) if found is not None else Value(HIDDEN, taints)

    def _changed(self, name: str, text: str, sign: str, operand: str, rest: Sequence[Node], end: int) -> str | None:
        if sign in ("%", "%%", "#", "##"):
            return _trimmed(text, sign, operand) if name not in WELL_KNOWN or text[:1] not in "~." else None
        if sign in ("/", "//", "/#", "/%"):
            return self._replaced(text, sign, rest, end)
        return self._slice(name, text, operand) if sign == ":" else None

    def _replaced(self, text: str, sign: str, rest: Sequence[Node], end: int) -> str | None:
        cut = next((index for index, node in enumerate(rest) if index and node.type == "/"), None)
        if cut is None:
            old, new = self._range(rest[1:], rest[0].end_byte, end, quoted=True).text, ""
        else:
            old = self._range(rest[1:cut], rest[0].end_byte, rest[cut].start_byte, quoted=True).text
            new = self._range(rest[cut + 1 :], rest[cut].end_byte, end, quoted=True).text
        if HIDDEN in old or HIDDEN in new or not old or not _GLOB.isdisjoint(old) or "&" in new:
            return None
        if sign == "/#":
            return new + text[len(old) :] if text.startswith(old) else text
        if sign == "/%":
            return text[: -len(old)] + new if text.endswith(old) else text
        return text.replace(old, new, 1 if sign == "/" else -1)

    def _slice(self, name: str, text: str, operand: str) -> str | None:
        first, colon, second = operand.partition(":")
        start = arithmetic.number(first)
        length = arithmetic.number(second) if colon else None
        if start is None or (colon and length is None):
            return None
        if name in _ABSOLUTE and text == WELL_KNOWN[name]:
            return "/" if start == 0 and length == 1 else None
        begin = start if start >= 0 else max(0, len(text) + start)
        if length is None:
            return text[begin:]
        return text[begin : begin + length] if length >= 0 else text[begin:length]


def _part(name: str, items: tuple[str, ...], operand: str) -> str | None:
    """`${A[@]:1:2}`, `${@:1:2}`: of the arguments the first has the number 1."""
    first, colon, second = operand.partition(":")
    start = arithmetic.number(first)
    length = arithmetic.number(second) if colon else len(items)
    if start is None or length is None or start < 0 or length < 0 or (name == "@" and start == 0):
        return None
    start -= name == "@"
    return SPLIT.join(items[start : start + length]) or SPLIT


def _case(text: str, sign: str) -> str:
    if len(sign) == 2:
        return text.upper() if sign == "^^" else text.lower()
    return (text[:1].upper() if sign == "^" else text[:1].lower()) + text[1:]


def _trimmed(text: str, sign: str, pattern: str) -> str | None:
    """`${X%pattern}` and its like, for a literal with at most one star at its inner end; None for other patterns."""
    if sign[0] == "%":  # the mirror image
        turned = _trimmed(text[::-1], "#" * len(sign), pattern[::-1])
        return turned[::-1] if turned is not None else None
    if set(pattern) == {"?"}:
        return text[len(pattern) :] if len(text) >= len(pattern) else text
    star = pattern.startswith("*")
    literal = pattern[1:] if star else pattern
    tail = not star and literal.endswith("*")
    literal = literal[:-1] if tail else literal
    if not _GLOB.isdisjoint(literal) or "\\" in literal:
        return None
    if tail:
        return text if not text.startswith(literal) else "" if len(sign) == 2 else text[len(literal) :]
    if not star:
        return text[len(literal) :] if literal and text.startswith(literal) else text
    if not literal:
        return "" if len(sign) == 2 else text
    at = text.find(literal) if len(sign) == 1 else text.rfind(literal)
    return text[at + len(literal) :] if at >= 0 else text
