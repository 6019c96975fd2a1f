"""The first look at any text: what must not be read at all, and what hides from a reader's eyes.

Ordinary text in any language raises nothing: joiners belong to emoji and to Indic and Persian words, direction marks to
right-to-left text, soft hyphens to prose, colours and progress bars to what a terminal printed.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator

from services.approval.risk import lookalikes, patterns, scoring
from services.approval.risk.model import Factor, Span
from services.approval.risk.scoring import HIGH, MEDIUM, NOTE

MAX_TEXT = 1 << 20  # characters; a larger text is UNKNOWN, never cut

_OVERRIDES = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_MARKS = frozenset("\u061c\u200e\u200f")
_JOINERS = frozenset("\u200c\u200d")
_INVISIBLE = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u180e\u200b\u2060\u2061\u2062\u2063\u2064\u3164\ufeff\uffa0")
_SOFT_HYPHEN = "\u00ad"
_CONTROL = frozenset(map(chr, [*range(1, 9), 11, *range(14, 32), *range(127, 160)]))  # without tab, line ends, form feed
_WATCHED = _OVERRIDES | _MARKS | _JOINERS | _INVISIBLE | _CONTROL | {_SOFT_HYPHEN, "\r"}

_RIGHT_TO_LEFT = patterns.compile(r"[\p{Hebrew}\p{Arabic}\p{Syriac}\p{Thaana}\p{Nko}]")
# Tag characters outside a flag of a region (a black flag, tags, a cancel tag), and more than one variation selector in a row:
# both carry text that no screen shows and every language model reads.
_TAGS = patterns.compile(r"[\x{E0000}-\x{E007F}]+")
_FLAG, _CANCEL_TAG, _FLAG_TAGS = "\U0001f3f4", "\U000e007f", 8
_SELECTORS = patterns.compile(r"[\x{FE00}-\x{FE0F}\x{E0100}-\x{E01EF}]{2,1000}")
_ESCAPE = patterns.compile(r"(?:\x1b\[|\x{9b})([0-9;:?<>=]*)[ -/]*([@-~])|\x1b[^\[]?")
_CONCEAL = "8"  # the parameter of "select graphic rendition" that hides what follows


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


def suspicious(text: str, *, prose: bool = False, printed: bool = False) -> list[Factor]:
    """Factors for characters that make a text look different from what it is. `text` must have passed `refusal`.

    `prose`: people write it and people read it (a description), so that soft hyphens and words of two scripts are ordinary.
    `printed`: a program printed it and nothing acts upon it (a result): what hides there is noted, and asks a person only
    where it hides from people what a model reads.
    """
    if text.isascii() and text.isprintable():
        return []
    found: dict[str, Factor] = {}
    for id, weight, what, start, end in _hidden(text, prose=prose or printed, printed=printed):
        if id not in found or found[id].weight < weight:
            message = f"Contains {what}: it may not do what it shows."
            found[id] = Factor(f"deception.{id}", "deception", message, weight, _named(text[start:end]), Span(start, end))
    return list(found.values())


_Hidden = tuple[str, int, str, int, int]  # id, weight, what, start, end


def _hidden(text: str, *, prose: bool, printed: bool) -> Iterator[_Hidden]:
    present = _WATCHED.intersection(text)
    acted = NOTE if printed else MEDIUM
    if present & _CONTROL or "\r" in present:
        yield from _terminal(text, printed)
    if text.isascii():
        return
    for id, weight, what, characters in (
        ("bidi", MEDIUM if printed else HIGH, "characters that reverse the direction of the text", present & _OVERRIDES),
        ("invisible", acted, "invisible characters", present & _INVISIBLE),
    ):
        for character in sorted(characters):
            at = text.find(character, 1 if character == "\ufeff" else 0)  # at the start it is a byte order mark
            if at >= 0:
                yield id, weight, what, at, at + 1
    if present & _MARKS and not _RIGHT_TO_LEFT.search(text):
        at = min(text.find(character) for character in present & _MARKS)
        yield "bidi", acted, "direction marks in text of one direction", at, at + 1
    if present & _JOINERS and (at := _stray_joiner(text)) >= 0:
        yield "invisible", acted, "invisible characters", at, at + 1
    if _SOFT_HYPHEN in present and not prose:
        at = text.index(_SOFT_HYPHEN)
        yield "invisible", MEDIUM, "invisible characters", at, at + 1
    for match in _TAGS.finditer(text):
        start, end = match.span()
        flag = text[start - 1 : start] == _FLAG and text[end - 1] == _CANCEL_TAG and end - start <= _FLAG_TAGS
        if not flag:
            yield "hidden-text", HIGH, "text in characters that no screen shows", start, end
    if selectors := _SELECTORS.search(text):
        yield "hidden-text", HIGH, "text in characters that no screen shows", selectors.start(), selectors.end()
    if not prose and (word := next(lookalikes.mixed_words(text), None)):
        yield "look-alike", MEDIUM, "a word of letters that look like others", word.start(), word.end()


def _stray_joiner(text: str) -> int:
    """Where a joiner stands between letters that need none, -1 for nowhere: only letters beyond ASCII are joined."""
    for at, character in enumerate(text):
        if character in _JOINERS and (text[at - 1 : at].isascii() or text[at + 1 : at + 2].isascii()):
            return at
    return -1


def _terminal(text: str, printed: bool) -> Iterator[_Hidden]:
    """What a terminal would not show as it is: escape sequences that hide or overwrite, and other control characters."""
    for match in _ESCAPE.finditer(text):
        start, end = match.span()
        colours = match.group(2) == "m"
        if colours and _CONCEAL not in (match.group(1) or "").replace(":", ";").split(";"):
            if not printed:
                yield "control", MEDIUM, "control characters", start, end
        elif colours:
            yield "terminal", MEDIUM if printed else HIGH, "an escape sequence that hides what follows", start, end
        else:
            yield "terminal", NOTE if printed else HIGH, "an escape sequence that changes what a terminal showed", start, end
            if not printed:
                break
    at = text.find("\r")
    while at >= 0:
        following = text[at + 1 : at + 2]
        if following and following not in "\r\n":
            yield "overwrite", NOTE if printed else MEDIUM, "a return to the start of the line, which hides what stood there", at, at + 1
            break
        at = text.find("\r", at + 1)
    if others := _CONTROL.intersection(text) - {"\x1b", "\x9b"}:
        at = min(text.find(character) for character in others)
        yield "control", NOTE if printed else MEDIUM, "control characters", at, at + 1


def _named(characters: str) -> str:
    """The characters by name, for they cannot be shown: at most three."""
    return ", ".join(unicodedata.name(character, f"U+{ord(character):04X}") for character in characters[:3])
