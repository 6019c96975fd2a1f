# ruff: noqa: RUF001 -- the letters are the matter of this module
"""Letters that look like others: a name that reads as one thing and is another.

A word is suspect where letters of two scripts stand side by side and every foreign one looks like a Latin letter, or where a
name turns into a known one once its letters are replaced by those they look like. Words of one script, accents, and words
that hold any letter without a Latin twin are ordinary text.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator

from services.approval.risk import patterns

# The Latin letter that each looks like in common fonts: a choice of Unicode's confusables (UTS 39) by script. Greek letters
# that formulas use next to Latin ones (alpha, nu, rho, ...) are left out.
_TWINS = {
    "Cyrillic": ("аеорсухѕіјһԁԛԝӏѵАВЕЅІЈКМНОРСТУХҮ", "aeopcyxsijhdqwlvABESIJKMHOPCTYXY"),
    "Greek": ("οΑΒΕΖΗΙΚΜΝΟΡΤΥΧ", "oABEZHIKMNOPTYX"),
    "Armenian": ("օոսհցզԼՏՍ", "onuhgqLSU"),
    "Latin": ("ıɑɡȷʏɩ", "iagjyi"),
}
_ASCII = {ord(letter): twin for letters, twins in _TWINS.values() for letter, twin in zip(letters, twins, strict=True)}
_FOREIGN = frozenset(map(chr, _ASCII))
_WORD = patterns.compile(r"\pL+")
_SIDE_BY_SIDE = patterns.compile(r"[A-Za-z][^\x00-\x7f]|[^\x00-\x7f][A-Za-z]")
MAX_LABEL = 63  # characters of one part of a host name, by RFC 1035


def skeleton(text: str) -> str:
    """`text` with full-width and styled letters, and letters of other scripts, as the ASCII letters that they look like."""
    return text if text.isascii() else unicodedata.normalize("NFKC", text).translate(_ASCII)


def mixed_words(text: str) -> Iterator[patterns.Match]:
    """The words in which letters of two scripts stand side by side, the foreign ones all look-alikes."""
    if text.isascii() or _FOREIGN.isdisjoint(text) or not _SIDE_BY_SIDE.search(text):
        return
    for match in _WORD.finditer(text):
        word = match.group()
        if not word.isascii() and any(c.isascii() for c in word) and all(c.isascii() or c in _FOREIGN for c in word):
            yield match


def look_alike(name: str) -> bool:
    """Whether the name of a program mixes scripts, or spells ASCII letters in full-width or mathematical ones."""
    if name.isascii():
        return False
    styled = unicodedata.normalize("NFKC", name)
    return (styled != name and styled.isascii() and styled.isalnum()) or any(mixed_words(name))


def host_look_alike(host: str) -> str:
    """What a host name reads as though it is another one, whichever way it is encoded; empty when it is what it reads as.

    A name whose last part (.com) is Latin and that has a part of look-alikes alone is suspect too; one in a single script with
    an ending of its own is not.
    """
    parts = [_decoded(part) for part in host.lower().split(".")]
    suspect = any(any(mixed_words(part)) for part in parts)
    if parts[-1].isascii():
        suspect |= any(part and not part.isascii() and all(c in _FOREIGN or c.isascii() for c in part) for part in parts)
    return skeleton(".".join(parts)) if suspect else ""


def _decoded(part: str) -> str:
    if not part.startswith("xn--") or len(part) > MAX_LABEL:
        return part
    try:
        return part[4:].encode("ascii").decode("punycode")
    except (UnicodeError, ValueError, OverflowError):
        return part
