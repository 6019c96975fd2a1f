"""The first look at any text: what must not be read at all, and what hides from a reader's eyes."""

from __future__ import annotations

import re
import unicodedata

from services.approval.risk import scoring
from services.approval.risk.model import Factor, Span

MAX_TEXT = 1 << 20  # characters; a larger text is UNKNOWN, never cut

_BIDI = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_INVISIBLE = re.compile("[\u00ad\u200b-\u200d\u2060\ufeff\u115f\u1160\u3164]")
_CONTROL = re.compile("[\x01-\x08\x0b\x0c\x0e-\x1f\x7f\x80-\x9f]")


def unreadable(id: str, message: str, excerpt: str = "", span: Span | None = None) -> Factor:
    """A factor that makes the assessment UNKNOWN."""
    return Factor(
        f"{scoring.UNREADABLE}.{id}",
        scoring.UNREADABLE,
        message,
        scoring.NOTE,
        excerpt=excerpt[:200],
        span=span,
        safer_alternative="Write it plainly, so that it can be read before it runs.",
    )


def refusal(text: str) -> Factor | None:
    """The reason why `text` must not be analysed further, None when it may be."""
    if len(text) > MAX_TEXT:
        return unreadable("too-large", f"{len(text)} characters are more than the {MAX_TEXT} that are analysed.")
    if "\x00" in text:
        at = text.index("\x00")
        return unreadable("nul", "Contains a NUL character.", span=Span(at, at + 1))
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError as error:  # half of a surrogate pair: no UTF-8 text has it, Python's strings may
            return unreadable("encoding", "Contains what is no character.", span=Span(error.start, error.end))
    return None


def suspicious(text: str) -> list[Factor]:
    """Factors for characters that make a text look different from what it is."""
    if text.isascii() and text.isprintable():
        return []
    factors = []
    for id, pattern, what in (
        ("bidi", _BIDI, "characters that reverse the direction of the text"),
        ("invisible", _INVISIBLE, "invisible characters"),
        ("control", _CONTROL, "control characters"),
    ):
        if match := pattern.search(text):
            factors.append(
                Factor(
                    f"deception.{id}",
                    "deception",
                    f"Contains {what}: it may not do what it shows.",
                    scoring.HIGH if id == "bidi" else scoring.MEDIUM,
                    excerpt=unicodedata.name(match.group(), repr(match.group())),
                    span=Span(match.start(), match.end()),
                )
            )
    return factors


def look_alike(name: str) -> bool:
    """Whether a program's name mixes ASCII letters with letters of another script (curl with a Cyrillic letter for its c)."""
    if name.isascii():
        return False
    return any(c.isascii() and c.isalpha() for c in name) and any(not c.isascii() and c.isalpha() for c in name)
