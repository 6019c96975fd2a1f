"""Where one command ends and the next begins: characters that the grammar takes for white space, and bash does not.

tree-sitter-bash reads over a line end that a backslash follows: of `ls` and `\\rm -rf /` on two lines it makes one harmless `ls`
with arguments. The parser is therefore shown another character in place of such a backslash. To bash a carriage return is a
letter, to the grammar it is a blank: it is shown as a letter too. To bash an escaped line end is nothing at all, to the grammar
it is a blank: `r`, escaped line end, `m` is joined and read again. Now and then the grammar reads over a plain line end too
(after `cmd -` inside a condition): it is shown a semicolon there and reads again. What is still read over then is not certain.
Of `a/$A/$B/c` it makes two words: the second variable gets braces, and it reads again.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

from tree_sitter import Node, Tree

from services.approval.risk import patterns
from services.approval.risk.shell import respelling
from services.approval.risk.syntax import Grammar, TooComplex

# Signs of pipes in one text. The grammar nests every pipe in the one before; where the last has no end, its way out of the error
# takes memory with the square of their number: 10,000 of them, 20 KB of text, a gigabyte; 2,000 some 60 MB.
MAX_PIPES = 2000
_MAX_READINGS = 12  # times that one text is parsed; ordinary scripts need one, and none that was found more than four

_STAND_IN = 0x02  # part of a word, as in syntax.Grammar
# After these a backslash at the start of a line means different things inside and outside of quotes, or continues the line.
_KEPT = frozenset(b"'`\n\r")
# Words of one command, or of one redirection: no line end stands between them unless it is escaped.
_ONE_LINE = frozenset("command declaration_command unset_command file_redirect herestring_redirect variable_assignments".split())

_MAX_LIST = 400  # characters of a list in braces that may be a command; a longer one is an error to the grammar
_BEFORE_WORD = (b"", b" ", b"\t", b"\n", b";", b"&", b"|", b"(")
_BREAKS = frozenset(b" \t\n\"'`$;&|<>(){}\\")  # what a list of plain words does not have

# Where a command may begin: behind a line end that nothing escapes, a separator, or a word of the shell's own.
_BEGINS = r"((?:^|[^\\]\n|[;&|({]|\b(?:then|do|else|elif|if|while|until)\b)[ \t]*"
_FOR_ARGUMENTS = patterns.compile(_BEGINS + r"for[ \t]+[A-Za-z_][A-Za-z0-9_]*)[ \t]do([ \t\n])")
_BEFORE_COMPOUND = patterns.compile(_BEGINS + r")(time|!)([ \t]+(?:(?:if|while|until|for|case|select|\{)[ \t\n]|\())")
# A here-document whose end is one plain word: no line with a blank in it ends it.
_PLAIN_END = patterns.compile(r"<<-?[ \t]*(?:'\w+'|\"\w+\"|\\?\w+)(?:[\s;|&<>)]|$)")

_WITHIN_WORD = patterns.compile(r"[^\s(\"]\$[\w@*?#!$-]")  # a variable that does not begin its word
_LETTERS = frozenset(b"_ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")
_NAME = _LETTERS | frozenset(b"0123456789")
_BEGINS_NAME = frozenset(bytes([letter]) for letter in _NAME | frozenset(b"@*?#!$-"))
_TEXT = frozenset("string raw_string ansi_c_string translated_string heredoc_body".split())  # the resolver joins their lines
_WHOLE_LINES = frozenset("comment heredoc_body heredoc_end".split())  # they end with their line, escaped or not


@dataclass(frozen=True, slots=True)
class Reading:
    """A text and its tree. `certain` is False when some command may end elsewhere than the tree says."""

    source: bytes
    tree: Tree
    certain: bool


def read(grammar: Grammar, source: bytes) -> Reading:
    """Parses a script until every command ends where bash ends it, in another spelling when it must be. Raises syntax.TooComplex."""
    if source.count(b"|") > MAX_PIPES:
        raise TooComplex
    reading = _read(grammar, source)
    if not reading.tree.root_node.has_error and (b"<<" not in source or not respelling.CROWDED.search(source.decode("utf-8", "surrogatepass"))):
        return reading
    if (other := respelling.respelled(source.decode("utf-8", "surrogatepass"))) is None:
        return reading
    again = _read(grammar, other.encode("utf-8", "surrogatepass"))
    return reading if again.tree.root_node.has_error else again


def _read(grammar: Grammar, source: bytes) -> Reading:
    shown = separated(source)
    tree = grammar.parse(shown)
    for _ in range(_MAX_READINGS - 1):
        whole = braced(source, tree) or joined(source, tree)
        if whole is not None:
            source = whole
            shown = separated(source)
        else:
            at = swallowed(source, tree)
            if at is None:
                return Reading(source, tree, certain=not (mixed(source) or merged(source, tree)))
            shown = shown[:at] + b";" + shown[at + 1 :]
        tree = grammar.parse(shown)
    return Reading(source, tree, certain=False)


def separated(source: bytes) -> bytes:
    """`source` as the parser is to see it, of the same length.

    Backslashes that begin a line, carriage returns, and the braces of a list that begins a word (`{rm,-rf,/}`) are letters.
    `for x do` has the semicolon that the grammar wants; `time` and `!` before a compound command, which it does not know, are blanks.
    """
    if b"time " in source or b"! " in source or b" do" in source:
        source = _spelled_out(source)
    if b"\r" in source:
        source = source.replace(b"\r\n", b" \n").replace(b"\r", bytes([_STAND_IN]))
    if b"<>" in source:  # the grammar does not know this redirection; it is read as `<`, and redirects looks for the rest
        source = source.replace(b"<>", b"< ")
    if b"0#$" in source or b"6#$" in source or b"8#$" in source or b"2#$" in source:  # a number with its base, `10#$n`
        for digit in (b"0", b"2", b"6", b"8"):
            source = source.replace(digit + b"#$", digit + b"+$")
    if source.endswith(b"\\\n"):
        source = source[:-2] + b" \n"  # nothing is left to be continued
    at, brace = source.find(b"\n\\"), source.find(b"{")
    if at < 0 and brace < 0:
        return source
    shown = bytearray(source)
    while brace >= 0:
        end = source.find(b"}", brace, brace + _MAX_LIST)
        if end > 0 and source[brace - 1 : brace] in _BEFORE_WORD and _is_list(source[brace + 1 : end]):
            shown[brace] = shown[end] = _STAND_IN
        brace = source.find(b"{", brace + 1)
    while at >= 0:
        escaped = source[at + 2 : at + 3]
        if escaped and escaped[0] not in _KEPT:
            shown[at + 1] = _STAND_IN
            if not escaped.isalnum() and escaped[0] < 128:
                shown[at + 2] = _STAND_IN  # \" or \$ is a letter as well
        at = source.find(b"\n\\", at + 2)
    return bytes(shown)


def _spelled_out(source: bytes) -> bytes:
    """Compound commands as the grammar knows them. Nothing is changed when a line that is changed could end a here-document."""
    text = source.decode("latin-1")  # a letter a byte
    if "<<" in text and text.count("<<") - text.count("<<<") != sum(1 for _ in _PLAIN_END.finditer(text)):
        return source
    text = _BEFORE_COMPOUND.sub(lambda match: match.group(1) + " " * len(match.group(2)) + match.group(3), text)
    return _FOR_ARGUMENTS.sub(r"\1;do\2", text).encode("latin-1")


def _is_list(body: bytes) -> bool:
    """Whether the inside of braces makes a list or a range of words, and not a group of commands."""
    return (b"," in body or b".." in body) and _BREAKS.isdisjoint(body)


def mixed(source: bytes) -> bool:
    """Whether some lines end in a carriage return and others do not, so that where a here-document ends can be read in two ways."""
    return b"\r\n" in source and b"<<" in source and source.count(b"\n") != source.count(b"\r\n")


def merged(source: bytes, tree: Tree) -> bool:
    """Whether the grammar took the end of one pair of backquotes and the beginning of the next for an empty pair."""
    if source.count(b"`") < 4 or not any(b"`" + blank in source for blank in (b" ", b"\t", b"\n", b"\\", b"`")):
        return False
    todo: list[tuple[Node, bool]] = [(tree.root_node, False)]
    while todo:
        node, inside = todo.pop()
        if node.type == "``" and (inside or node.end_byte - node.start_byte > 2):
            return True
        inside = inside or (node.type == "command_substitution" and source[node.start_byte : node.start_byte + 1] == b"`")
        todo += [(child, inside) for child in node.children]
    return False


def swallowed(source: bytes, tree: Tree) -> int | None:
    """Where the first line end is that stands between the words of one command of the tree, None when there is none."""
    if b"\n" not in source:
        return None
    found: int | None = None
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
                    at = _line_end(source, before.end_byte, after.start_byte)
                    if at is not None and (found is None or at < found):
                        found = at
    return found


def _line_end(source: bytes, start: int, end: int) -> int | None:
    """The first line end in a range that no backslash escapes."""
    at = source.find(b"\n", start, end)
    while at >= 0:
        if source[at - 1 : at] != b"\\" and source[at - 2 : at] != b"\\\r":
            return at
        at = source.find(b"\n", at + 1, end)
    return None


def braced(source: bytes, tree: Tree) -> bytes | None:
    """`source` with braces around the variables that the grammar cuts in two, as `$B` in `$A/$B/c`; None when there are none."""
    if b"$" not in source or not _WITHIN_WORD.search(source.decode("utf-8", "replace")):
        return None
    found: list[int] = []
    todo: list[Node] = [tree.root_node]
    while todo:
        node = todo.pop()
        children = node.children
        if node.type not in ("simple_expansion", "expansion"):
            found += [child.end_byte for child in children if child.type == "$" and source[child.end_byte : child.end_byte + 1] in _BEGINS_NAME]
        todo += children
    if not found:
        return None
    parts, position = [], 0
    for start in sorted(found):
        end = start + 1
        while source[start] in _LETTERS and end < len(source) and source[end] in _NAME:
            end += 1
        parts += [source[position:start], b"{", source[start:end], b"}"]
        position = end
    return b"".join([*parts, source[position:]])


def joined(source: bytes, tree: Tree) -> bytes | None:
    """`source` without the escaped line ends that stand inside a word, where the grammar sees two; None when there are none."""
    if b"\\\n" not in source:
        return None
    found: list[tuple[int, int]] = []
    todo: list[Node] = [tree.root_node]
    while todo:
        node = todo.pop()
        if node.start_point.row == node.end_point.row or node.type in _TEXT:
            continue
        children = node.children
        todo += children
        for before, after in itertools.pairwise(children):
            gap = source[before.end_byte : after.start_byte]
            if gap and not gap.replace(b"\\\n", b"") and _last(before).type not in _WHOLE_LINES:
                found.append((before.end_byte, after.start_byte))
    if not found:
        return None
    parts, position = [], 0
    for start, end in sorted(found):
        parts.append(source[position:start])
        position = end
    return b"".join([*parts, source[position:]])


def _last(node: Node) -> Node:
    while node.child_count:
        node = node.children[-1]
    return node
