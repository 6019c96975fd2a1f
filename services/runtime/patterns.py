"""Regular expressions over text that nobody trusts: RE2 only, whose time is linear in the text whatever the pattern.

With the standard library's `re`, one pattern with two repetitions in each other would let a text of forty characters
hold a service up for minutes. RE2 has no look-around and no back-references, its `\\w`, `\\d` and `\\s` are ASCII,
repetitions are at most 1000, and a call costs 1 to 2 microseconds: in code that runs for every word, a string method or
a set comes first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol, cast

import re2

MAX_PROGRAM_BYTES = 8 << 20  # memory that one compiled pattern may take, RE2's own default


class Match(Protocol):
    """A match: the part of `re.Match` that is used here."""

    def group(self, *groups: int | str) -> str: ...
    def groups(self, default: str | None = None) -> tuple[str | None, ...]: ...
    def start(self, group: int = 0) -> int: ...
    def end(self, group: int = 0) -> int: ...
    def span(self, group: int = 0) -> tuple[int, int]: ...
    @property
    def lastgroup(self) -> str | None: ...


class Pattern(Protocol):
    """A compiled pattern: the part of `re.Pattern` that is used here. Offsets are in characters."""

    @property
    def pattern(self) -> str: ...
    def search(self, text: str, pos: int = 0, endpos: int = ...) -> Match | None: ...
    def match(self, text: str, pos: int = 0, endpos: int = ...) -> Match | None: ...
    def fullmatch(self, text: str, pos: int = 0, endpos: int = ...) -> Match | None: ...
    def finditer(self, text: str, pos: int = 0, endpos: int = ...) -> Iterator[Match]: ...
    def findall(self, text: str, pos: int = 0, endpos: int = ...) -> list[str]: ...
    def split(self, text: str, maxsplit: int = 0) -> list[str]: ...
    def sub(self, repl: str | Callable[[Match], str], text: str, count: int = 0) -> str: ...


class PatternError(ValueError):
    """A pattern that RE2 refuses; the message says why."""


def compile(pattern: str) -> Pattern:
    """A pattern, compiled once, at import or at load. Flags are written inline: `(?i)`, `(?s)`, `(?m)`.

    Raises PatternError.
    """
    options = re2.Options()
    options.log_errors = False
    options.max_mem = MAX_PROGRAM_BYTES
    try:
        return cast(Pattern, _Pattern(pattern, options))
    except re2.error as error:
        reason = error.args[0] if error.args else error
        text = reason.decode("utf-8", "replace") if isinstance(reason, bytes) else str(reason)
        raise PatternError(f"{pattern!r} is no pattern of RE2: {text}") from error


class _Pattern(re2._Regexp):  # type: ignore[misc]
    """A pattern of the library whose common questions about plain text are answered at once.

    The library's own way makes a generator and translates offsets, which takes five times as long as the search
    itself; in ASCII a byte is a character. Every other question, and every other text, goes to the library.
    """

    __slots__ = ()

    def search(self, text: str, pos: int | None = None, endpos: int | None = None) -> Match | None:
        return self._first(_ANYWHERE, text, pos, endpos)

    def match(self, text: str, pos: int | None = None, endpos: int | None = None) -> Match | None:
        return self._first(_FROM_START, text, pos, endpos)

    def fullmatch(self, text: str, pos: int | None = None, endpos: int | None = None) -> Match | None:
        return self._first(_WHOLE, text, pos, endpos)

    def finditer(self, text: str, pos: int | None = None, endpos: int | None = None) -> Iterator[Match]:
        if pos is not None or endpos is not None or not text.isascii():
            return cast(Iterator[Match], self._match(_ANYWHERE, text, pos, endpos))
        return self._all(text)

    def _all(self, text: str) -> Iterator[Match]:
        encoded, at, end = text.encode(), 0, len(text)
        while (spans := self._regexp.Match(_ANYWHERE, encoded, at, end))[0] != _NO_SPAN:
            yield cast(Match, re2._Match(self, text, 0, end, spans))
            if at == end:
                return
            stop = spans[0][1]
            at = stop if stop != at else at + 1

    def sub(self, repl: str | Callable[[Match], str], text: str, count: int = 0) -> str:
        if isinstance(repl, str) and not repl.isascii():
            if "\\" in repl:  # the library reads such a template as if it were Latin-1
                raise ValueError(f"a replacement with a backslash must be ASCII, or a function, not {repl!r}")
            return cast(str, super().sub(lambda _: repl, text, count))
        return cast(str, super().sub(repl, text, count))

    def _first(self, anchor: object, text: str, pos: int | None, endpos: int | None) -> Match | None:
        if pos is not None or endpos is not None or not text.isascii():
            return next(self._match(anchor, text, pos, endpos), None)
        spans = self._regexp.Match(anchor, text.encode(), 0, len(text))
        return cast(Match, re2._Match(self, text, 0, len(text), spans)) if spans[0] != _NO_SPAN else None


_ANYWHERE, _FROM_START, _WHOLE = re2._Anchor.UNANCHORED, re2._Anchor.ANCHOR_START, re2._Anchor.ANCHOR_BOTH
_NO_SPAN = (-1, -1)


def escape(text: str) -> str:
    """`text` as a pattern that matches just it."""
    return cast(str, re2.escape(text))


class PatternSet:
    """Many patterns tried in one pass over a text: which of them match anywhere in it."""

    def __init__(self, patterns: Sequence[str]) -> None:
        """Raises PatternError for one that RE2 refuses."""
        options = re2.Options()
        options.log_errors = False
        options.max_mem = MAX_PROGRAM_BYTES * 4
        self._set = re2.Set.SearchSet(options)
        self._size = len(patterns)
        for pattern in patterns:
            try:
                self._set.Add(pattern)
            except re2.error as error:
                raise PatternError(f"{pattern!r} is no pattern of RE2") from error
        if patterns:
            self._set.Compile()

    def __len__(self) -> int:
        return self._size

    def matches(self, text: str) -> list[int]:
        """The indexes of the patterns that match, in ascending order.

        RE2 gives up, and none is said to match, where the text would take more memory than a set may: a caller that
        must not miss anything adds the empty pattern, which always matches.
        """
        return sorted(self._set.Match(text) or ()) if self._size else []
