"""One pass over a text finds the keywords of all rules, and only the rules of those are tried."""

from __future__ import annotations

from bisect import bisect
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from services.runtime import patterns
from services.runtime.redaction import disguise, gitleaks, literals, personal
from services.runtime.redaction.rule import Rule
from services.runtime.redaction.values import looks_random

# A text with more secrets than this is a dump of them: it is masked as a whole, instead of in thousands of pieces.
MAX_FOUND = 2000

# The least that any number has which is looked for.
_NUMBER = r"(?:[0-9][^0-9\n]{0,2}){8}[0-9]|[A-Z]{2}[0-9]{2}"
_NUMBERS = patterns.compile(_NUMBER)


@dataclass(frozen=True, slots=True)
class Secret:
    """Something to be masked: `kind` is the id of a rule, or card, iban or ssn; the range is in characters, half open.

    `sure` is false for a plain word in the place of a password, as in examples and tests: it is masked, and gives little away.
    """

    kind: str
    message: str
    personal: bool
    sure: bool
    start: int
    end: int


class _Rules:
    """All rules in the order in which they are tried, and which of them a text has a keyword of."""

    def __init__(self) -> None:
        shaped, generic = gitleaks.load()
        self.rules: tuple[Rule, ...] = (*literals.FIRST, *shaped, *literals.LAST, generic)
        self._keywords = sorted({keyword for rule in self.rules for keyword in rule.keywords})
        # The empty pattern is always found: no answer at all means that RE2 gave up on the text.
        self._set = patterns.PatternSet(["", *map(patterns.escape, self._keywords)])
        self._hints = patterns.compile("|".join([*map(patterns.escape, self._keywords), _NUMBER.lower()]))
        places = {keyword: at for at, keyword in enumerate(self._keywords, 1)}
        self._rules_of: list[list[int]] = [[] for _ in range(len(self._keywords) + 1)]
        for number, rule in enumerate(self.rules):
            for keyword in rule.keywords:
                self._rules_of[places[keyword]].append(number)

    def may_hold(self, text: str) -> bool:
        """Whether any rule, or personal data, is worth looking for: of ten ordinary texts, two."""
        return not text.isascii() or self._hints.search(text.lower()) is not None

    def for_text(self, text: str) -> list[Rule]:
        """The rules worth trying."""
        lowered = text.lower()
        found = self._set.matches(lowered) or [0, *(at for at, word in enumerate(self._keywords, 1) if word in lowered)]
        if len(found) == 1:
            return []
        return [self.rules[number] for number in sorted({number for at in found for number in self._rules_of[at]})]


@lru_cache(maxsize=1)
def _rules() -> _Rules:
    return _Rules()


def find(text: str) -> list[Secret]:
    """Everything in `text` that is to be masked, in its order, without overlaps; at most about MAX_FOUND."""
    if len(text) < 5:
        return []
    text = encodable(text)
    plain, places = disguise.without(text)
    if plain is text and not _rules().may_hold(text):
        return []
    found: list[Secret] = []
    taken = _Ranges()
    _look(text, found, taken, None)
    if plain != text:
        _look(plain, found, taken, places)
    return sorted(found, key=lambda secret: secret.start)


def _look(text: str, found: list[Secret], taken: _Ranges, places: Sequence[int] | None) -> None:
    """Adds what is in a text to `found`; `places` are where its characters stand in the text that was given."""

    def place(start: int, end: int) -> tuple[int, int]:
        return (start, end) if places is None else (places[start], places[end - 1] + 1)

    for rule in _rules().for_text(text):
        for start, end in rule.spans(text):
            if taken.add(*place(start, end)):
                value = text[start:end]
                sure = value.lower() not in literals.EXAMPLES and (not rule.plain or looks_random(value))
                found.append(Secret(rule.id, rule.message, False, sure, *place(start, end)))
            if len(found) > MAX_FOUND:
                break
    if _has_digits(text):
        for kind, start, end in personal.find(text):
            if taken.add(*place(start, end)):
                found.append(Secret(kind, personal.MESSAGES[kind], True, True, *place(start, end)))
            if len(found) > MAX_FOUND:
                break


class _Ranges:
    """Characters that are taken: the first rule to claim some has them, for the rules that know most are tried first."""

    def __init__(self) -> None:
        self._taken: list[tuple[int, int]] = []

    def add(self, start: int, end: int) -> bool:
        """Take a range unless some of it is taken."""
        at = bisect(self._taken, (start, end))
        if (at and self._taken[at - 1][1] > start) or (at < len(self._taken) and self._taken[at][0] < end):
            return False
        self._taken.insert(at, (start, end))
        return True


def _has_digits(text: str) -> bool:
    return not text.isalpha() and _NUMBERS.search(text) is not None


def encodable(text: str) -> str:
    """The text, with what has no UTF-8 form (halves of surrogate pairs) replaced one for one."""
    if text.isascii():
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
