"""Path templates of `google.api.http`, and how a path is matched with them.

    Template = "/" Segments [ ":" Verb ]      Variable = "{" field.path [ "=" Segments ] "}"
    Segments = Segment { "/" Segment }        Segment  = "*" | "**" | literal | Variable

`*` is one segment of the path, which may be empty; `**` any number of them; a variable captures what its segments
match.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

_FIELD_PATH = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*")
# RFC 3986, 3.3: what a segment of a path is made of.
_LITERAL = re.compile(r"(?:[A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})+")
ONE, ANY = "*", "**"


class TemplateError(ValueError):
    """A template that is not well formed; says what is wrong with it."""


@dataclass(frozen=True)
class Variable:
    """A field and the segments, `start` to `end` (exclusive), that it captures."""

    field_path: str
    start: int
    end: int


@dataclass(frozen=True)
class Template:
    """A parsed template.

    Attributes:
        segments: literals, `*` and `**`, with the variables resolved.
        variables: what is captured, in order.
        verb: what follows the last colon; empty without one.
    """

    segments: tuple[str, ...]
    variables: tuple[Variable, ...]
    verb: str

    @property
    def shape(self) -> str:
        """The template without the names of its variables: two of one shape match the same paths."""
        return "/" + "/".join(self.segments) + (f":{self.verb}" if self.verb else "")

    def match(self, components: Sequence[str]) -> dict[str, str] | None:
        """What the variables capture from a path's components (what is between its slashes), or None if it differs."""
        if self.verb:
            head = components[-1].removesuffix(f":{self.verb}")
            if not head or head == components[-1]:
                return None
            components = (*components[:-1], head)
        segments, count = self.segments, len(components)
        if ANY in segments:
            deep = segments.index(ANY)
            spread = count - (len(segments) - 1)
            if spread < 0:
                return None
            joined = "/".join(components[deep : deep + spread])
            components = (*components[:deep], joined, *components[deep + spread :])
        elif count != len(segments):
            return None
        for segment, component in zip(segments, components, strict=True):
            if segment is not ONE and segment is not ANY and segment != component:
                return None
        return {variable.field_path: "/".join(components[variable.start : variable.end]) for variable in self.variables}


def parse(text: str) -> Template:
    """Parse a template.

    Raises:
        TemplateError: it is not one.
    """
    if not text.startswith("/"):
        raise TemplateError(f"{text!r} has no leading slash")
    pieces = _split(text[1:])
    last = pieces[-1]
    # After a variable everything behind the first colon is the verb; a literal may have colons of its own.
    inside = last.rfind("}")
    colon = last.find(":", inside) if inside >= 0 else last.rfind(":")
    verb = ""
    if colon >= 0:
        pieces[-1], verb = last[:colon], last[colon + 1 :]
        if not _LITERAL.fullmatch(verb):
            raise TemplateError(f"{text!r} has a verb that is not one: {verb!r}")
    segments: list[str] = []
    variables: list[Variable] = []
    for piece in pieces:
        if piece.startswith("{"):
            _add_variable(text, piece, segments, variables)
        elif piece or len(pieces) == 1:
            segments.append(_segment(text, piece))
        else:
            raise TemplateError(f"{text!r} has an empty segment")
    if segments.count(ANY) > 1:
        raise TemplateError(f"{text!r} has more than one **")
    captured = [variable.field_path for variable in variables]
    if len(set(captured)) < len(captured):
        raise TemplateError(f"{text!r} captures a field twice")
    return Template(tuple(segments), tuple(variables), verb)


def _split(path: str) -> list[str]:
    """The segments of a template, at the slashes that are outside of braces."""
    pieces, depth, start = [], 0, 0
    for position, character in enumerate(path):
        if character == "{":
            depth += 1
        elif character == "}":
            depth -= 1
        elif character == "/" and depth == 0:
            pieces.append(path[start:position])
            start = position + 1
        if depth not in (0, 1):
            raise TemplateError(f"'/{path}' has braces that do not pair")
    if depth:
        raise TemplateError(f"'/{path}' has braces that do not pair")
    return [*pieces, path[start:]]


def _add_variable(text: str, piece: str, segments: list[str], variables: list[Variable]) -> None:
    if not piece.endswith("}"):
        raise TemplateError(f"{text!r}: {piece!r} is a variable with something behind it")
    field_path, equals, inner = piece[1:-1].partition("=")
    if not _FIELD_PATH.fullmatch(field_path):
        raise TemplateError(f"{text!r} has a variable that is no field: {field_path!r}")
    start = len(segments)
    for part in inner.split("/") if equals else [ONE]:
        if not part:
            raise TemplateError(f"{text!r} has an empty segment in {piece!r}")
        segments.append(_segment(text, part))
    variables.append(Variable(field_path, start, len(segments)))


def _segment(text: str, piece: str) -> str:
    if piece in (ONE, ANY):
        return ONE if piece == ONE else ANY
    if piece and not _LITERAL.fullmatch(piece):
        raise TemplateError(f"{text!r} has a segment that is neither a literal nor a wildcard: {piece!r}")
    return piece
