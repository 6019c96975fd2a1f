"""What a rule is: words to look for first, a pattern, and what tells a secret from something that only looks like one."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

from services.runtime import patterns

# A rule that asks about the line around a match gets at most this much of it on each side: a text can be all one line.
_LINE_CHARS = 500

# Letters and digits that go on behind a match belong to it: a pattern may say how long a secret is, and be out of date.
_TOKEN_CHARS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_")


class Rule(Protocol):
    """One kind of secret. `keywords` are lower-case: one of them must be in the text for the rule to be tried."""

    @property
    def id(self) -> str: ...
    @property
    def message(self) -> str: ...
    @property
    def keywords(self) -> tuple[str, ...]: ...
    @property
    def plain(self) -> bool:
        """Whether its values may be plain words: masked all the same, but only what looks random is surely a secret."""
        ...

    def spans(self, text: str) -> Iterator[tuple[int, int]]:
        """Where the secrets are in a text, in characters, in their order."""
        ...


def entropy(value: str) -> float:
    """Shannon's entropy of a text's characters, bits a character: "password1" has 2.9, "aaaa1111" has 1.0."""
    return -sum(n / len(value) * math.log2(n / len(value)) for n in Counter(value).values()) if value else 0.0


def end_of_token(text: str, end: int) -> int:
    """Where the run of letters and digits ends that goes on at `end`."""
    if end and text[end - 1] in _TOKEN_CHARS:
        while end < len(text) and text[end] in _TOKEN_CHARS:
            end += 1
    return end


def always(_value: str) -> bool:
    """Accepts every value."""
    return True


@dataclass(frozen=True)
class PatternRule:
    """A rule that is a pattern.

    The secret is group `group` of a match; with 0, the first group that matched, or all of it where there is none. It counts
    if its entropy is above `min_entropy`, `accepts` says so, and none of the exceptions (patterns, searched for) is in it, in
    the whole match or in the match's line, nor any of `words` in its lower-case form.
    """

    id: str
    message: str
    keywords: tuple[str, ...]
    pattern: str
    group: int = 0
    min_entropy: float = 0.0
    accepts: Callable[[str], bool] = always
    except_secret: tuple[str, ...] = ()
    except_match: tuple[str, ...] = ()
    except_line: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    plain: bool = False

    @cached_property
    def _compiled(self) -> patterns.Pattern:
        return patterns.compile(self.pattern)

    @cached_property
    def _exceptions(self) -> tuple[patterns.PatternSet, patterns.PatternSet, patterns.PatternSet]:
        return tuple(map(patterns.PatternSet, (self.except_secret, self.except_match, self.except_line)))  # type: ignore[return-value]

    @cached_property
    def _words(self) -> patterns.PatternSet:
        return patterns.PatternSet(tuple(map(patterns.escape, self.words)))

    def spans(self, text: str) -> Iterator[tuple[int, int]]:
        """Where the secrets are in a text, in characters, in their order."""
        stop = 0
        for match in self._compiled.finditer(text):
            if match.start() < stop:  # inside of the run of letters that the one before went on with
                continue
            group = self.group or next((i for i, found in enumerate(match.groups(), 1) if found), 0)
            start, end = match.span(group)
            if start < end and self._counts(text[start:end], match, text):
                stop = end_of_token(text, end)
                yield start, stop

    def _counts(self, value: str, match: patterns.Match, text: str) -> bool:
        if not self.accepts(value) or (self.min_entropy and entropy(value) <= self.min_entropy):
            return False
        in_secret, in_match, in_line = self._exceptions
        if in_secret.matches(value) or self._words.matches(value.lower()) or in_match.matches(match.group()):
            return False
        if not self.except_line:
            return True
        start = max(text.rfind("\n", 0, match.start()) + 1, match.start() - _LINE_CHARS)
        end = text.find("\n", match.end(), match.end() + _LINE_CHARS)
        return not in_line.matches(text[start : end if end >= 0 else match.end() + _LINE_CHARS])
