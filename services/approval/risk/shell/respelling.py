"""The same script in a spelling that the grammar knows, for scripts that it cannot read as they are.

An extended glob becomes what it can stand for (`@(a|b)` is `{a,b}`, `!(a)` is `*`). Here-documents that share their line with
another, or whose word a separator follows (`cat <<E; ls`), become here-strings. What is not certain is left as it is.
"""

from __future__ import annotations

from dataclasses import dataclass

from services.approval.risk import patterns

# An argument, or a part of one: before it a blank that follows a word of the command, or a part of the same word.
_EXTENDED = patterns.compile(r"([\w./*~\"'-]|[\w./*~\"'-][ \t]+)([?*+@!])\(([\w.*?/@%+:~ \t-]*(?:\|[\w.*?/@%+:~ \t-]*)*)\)")
# Words before which `!(` begins a command, and no argument.
_BEFORE_COMMAND = frozenset("if then elif else while until do time coproc".split())
_LAST_WORD = patterns.compile(r"([\w./*~\"'-]+)[ \t]*$")
_MAX_ALTERNATIVES = 16  # of one group; one with more stands for anything

# One that the grammar reads wrongly, or not at all: a separator ends its word, or another command follows on its line.
CROWDED = patterns.compile(r"<<-?[ \t]*[^\s<>;&|()]+(?:[;&|)]|[^\n]*;)")
_WORD_BEFORE = patterns.compile(r"[^ \t\n;&|()]*$")
_ENDS_WORD = frozenset(" \t\n;&|<>()")


def respelled(script: str) -> str | None:
    """`script` as the grammar can read it, None when there is nothing that this module can change."""
    found = _without_extended_globs(script) if "(" in script else script
    if "<<" in found:
        found = _Documents(found).inlined() or found
    return found if found != script else None


# -- extended globs ---------------------------------------------------------------------------------------------------


def _without_extended_globs(script: str) -> str:
    if not any(sign in script for sign in ("?(", "*(", "+(", "@(", "!(")):
        return script
    parts: list[str] = []
    position = 0
    for match in _EXTENDED.finditer(script):
        before, sign, inside = match.group(1) or "", match.group(2) or "", match.group(3) or ""
        if sign == "!" and before[-1:] in " \t" and _begins_command(script, match.start(2)):
            continue
        parts += [script[position : match.start(2)], _meant(sign, inside.split("|"))]
        position = match.end()
    return "".join([*parts, script[position:]]) if parts else script


def _begins_command(script: str, at: int) -> bool:
    match = _LAST_WORD.search(script[max(0, at - 80) : at])
    return match is None or match.group(1) in _BEFORE_COMMAND


def _meant(sign: str, alternatives: list[str]) -> str:
    if sign == "!" or len(alternatives) > _MAX_ALTERNATIVES or any(" " in each or "\t" in each for each in alternatives):
        return "*"
    return alternatives[0] if len(alternatives) == 1 else "{" + ",".join(alternatives) + "}"


# -- here-documents ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Document:
    """One here-document as it is announced: from `start` to `end`, inside `depth` quotes and groups, ended by a line that is `word`."""

    start: int
    end: int
    depth: int
    word: str
    literal: bool
    tabs: bool


class _Documents:
    """Reads a script as far as it takes to know which of its `<<` announce a here-document, and which are quoted."""

    def __init__(self, script: str) -> None:
        self._script = script
        self._parts: list[str] = []
        self._written = 0  # up to where the script is in `_parts`
        self._line: list[_Document] = []  # announced on the current line
        self._open: list[str] = []  # what ends each quote, substitution and group that is open

    def inlined(self) -> str | None:
        """The script with its crowded here-documents as here-strings; None when it cannot be read with certainty."""
        script, position, size = self._script, 0, len(self._script)
        if "`" in script or "$'" in script or "$[" in script or "esac" in script:
            return None
        while position < size:
            letter = script[position]
            quoted = self._open[-1:] == ['"']
            if letter == "\\":
                position += 2
            elif self._open and letter == self._open[-1]:
                self._open.pop()
                position += 1
            elif letter == "$" and script[position + 1 : position + 2] in ("(", "{"):
                self._open.append(")" if script[position + 1] == "(" else "}")
                position += 2
            elif letter == '"':
                self._open.append('"')
                position += 1
            elif quoted:
                if letter == "\n" and self._line:
                    return None
                position += 1
            elif letter == "'":
                end = script.find("'", position + 1)
                if end < 0 or (self._open[-1:] == ["}"] and '"' in self._open) or (self._line and "\n" in script[position:end]):
                    return None
                position = end + 1
            elif letter == "(":
                self._open.append(")")
                position += 1
            elif letter == "#" and (not position or script[position - 1] in " \t\n;&|("):
                end = script.find("\n", position)
                position = size if end < 0 else end
            elif letter == "<" and script.startswith("<<", position):
                if script.startswith("<<<", position):
                    position += 3
                elif self._is_number(position) or (found := self._announced(position)) is None:
                    return None
                else:
                    self._line.append(found)
                    position = found.end
            elif letter == "\n" and self._line:
                ended = self._bodies(position + 1)
                if ended is None:
                    return None
                position = ended
            else:
                position += 1
        return "".join([*self._parts, script[self._written :]]) if self._parts and not self._line else None

    def _is_number(self, position: int) -> bool:
        """Whether `<<` may stand in arithmetic (`((`, a subscript, `${x:1<<2}`), where it shifts a number."""
        word = _WORD_BEFORE.search(self._script[max(0, position - 200) : position])
        return self._open[-1:] == ["}"] or self._open[-2:] == [")", ")"] or word is None or "[" in word.group(0)

    def _announced(self, start: int) -> _Document | None:
        tabs = self._script.startswith("<<-", start)
        position, word, literal = start + 2 + tabs, "", False
        while self._script[position : position + 1] in (" ", "\t"):
            position += 1
        while position < len(self._script) and (letter := self._script[position]) not in _ENDS_WORD:
            if letter in "'\"":
                end = self._script.find(letter, position + 1)
                if end < 0:
                    return None
                word, position, literal = word + self._script[position + 1 : end], end + 1, True
            elif letter in "\\$":
                return None
            else:
                word, position = word + letter, position + 1
        return _Document(start, position, len(self._open), word, literal, tabs) if word and "\n" not in word else None

    def _bodies(self, position: int) -> int | None:
        """Reads the here-documents of a line, which follow it one after the other; where the script goes on, None when it does not."""
        if any(document.depth != len(self._open) for document in self._line):  # bash and its versions differ in what follows
            return None
        bodies: list[str] = []
        begin = position
        for document in self._line:
            lines: list[str] = []
            while True:
                if position >= len(self._script):
                    return None
                end = self._script.find("\n", position)
                end = len(self._script) if end < 0 else end
                line = self._script[position:end]
                line = line.lstrip("\t") if document.tabs else line
                position = end + 1
                if line == document.word:
                    break
                lines.append(line)
            bodies.append("\n".join(lines))
        documents, self._line = self._line, []
        if len(documents) == 1 and not CROWDED.match(self._script[documents[0].start : begin]):
            return position
        for document, body in zip(documents, bodies, strict=True):
            text = _single_quoted(body) if document.literal else _double_quoted(body)
            if text is None:
                return None
            self._parts += [self._script[self._written : document.start], "<<< ", text, " "]
            self._written = document.end
        self._parts.append(self._script[self._written : begin])
        self._written = position
        return position


def _single_quoted(body: str) -> str:
    return "'" + body.replace("'", "'\\''") + "'"


def _double_quoted(body: str) -> str | None:
    """A here-document that expands, as a string that expands; None when quotes may stand within a substitution."""
    if '"' in body and ("$(" in body or "${" in body):
        return None
    parts: list[str] = []
    position = 0
    while position < len(body):
        letter, following = body[position], body[position + 1 : position + 2]
        if letter == "\\" and following and following in "$\\\n":
            parts.append(letter + following)
            position += 2
        else:
            parts.append("\\\\" if letter == "\\" else '\\"' if letter == '"' else letter)
            position += 1
    return '"' + "".join(parts) + '"'
