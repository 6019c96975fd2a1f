"""Several secrets one after the other: in a list of named values, or in the options of one command."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

from services.runtime import patterns

_LIST_CHARS = 1000
_COMMAND_CHARS = 300  # between a program and its option


@dataclass(frozen=True)
class Within:
    """Values in a list of named ones, some of them secret: group 1 of `pattern`, behind a match of `sign`.

    The list goes on to the first of the characters `ends`, for at most _LIST_CHARS. A sign that is group 1 counts only
    behind a match of `program`, in the same command, and the list begins there.
    """

    id: str
    message: str
    keywords: tuple[str, ...]
    sign: str
    ends: str
    pattern: str
    accepts: Callable[[str], bool]
    program: str = ""
    plain: bool = False

    @cached_property
    def _compiled(self) -> tuple[patterns.Pattern, patterns.Pattern, patterns.Pattern]:
        return patterns.compile(self.sign), patterns.compile(self.program), patterns.compile(self.pattern)

    def spans(self, text: str) -> Iterator[tuple[int, int]]:
        """Where the secrets are. Linear: lists do not overlap, and each is gone through once."""
        _, _, pattern = self._compiled
        for start, end in self._lists(text):
            for match in pattern.finditer(text[start:end]):
                if self.accepts(match.group(1)):
                    yield start + match.start(1), start + match.end(1)

    def _lists(self, text: str) -> Iterator[tuple[int, int]]:
        """Where the lists are: those that overlap are one. The sizes are cut out here, for counting costs RE2 a state each."""
        sign, program, _ = self._compiled
        start = stop = 0
        for match in sign.finditer(text):
            begin, end = match.span()
            if self.program and match.group(1):
                least = max(0, begin - _COMMAND_CHARS)
                command = max(least, *(text.rfind(each, least, begin) + 1 for each in "\n;|&"))
                named = program.search(text[command:begin])
                if named is None:
                    continue
                begin = command + named.start()
            limit = min(end + _LIST_CHARS, len(text))
            end = min((at for each in self.ends if (at := text.find(each, end, limit)) >= 0), default=limit)
            if begin > stop:
                if stop > start:
                    yield start, stop
                start = begin
            stop = max(stop, end)
        if stop > start:
            yield start, stop
