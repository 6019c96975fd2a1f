"""Masks what `find` finds: in a text, in a list of arguments, in named values, and in objects of any shape."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache

from services.runtime.redaction.literals import may_name_a_secret, names_a_secret
from services.runtime.redaction.search import MAX_FOUND, encodable, find
from services.runtime.redaction.values import is_reference, looks_random

MASK = "[secret]"  # the same for everything, so that not even the length is told

# What is left between two masks may look like a secret where the whole did not; after this many looks, it is masked too.
_LOOKS = 3


def redact(text: str) -> str:
    """`text` with everything that `find` finds replaced by MASK. Redacting twice is redacting once."""
    ranges = masked_ranges(text)
    if not ranges:
        return text
    parts: list[str] = []
    position = 0
    for start, end in ranges:
        parts += [text[position:start], MASK]
        position = end
    return "".join([*parts, text[position:]])


def masked_ranges(text: str) -> list[tuple[int, int]]:
    """What `redact` replaces, each by one MASK: half-open ranges of characters, in their order, without overlaps."""
    ranges: list[tuple[int, int]] = []
    position = 0
    for piece in text.split(MASK):
        _add_ranges(piece, position, ranges, _LOOKS)
        position += len(piece) + len(MASK)
    return ranges


def _add_ranges(text: str, offset: int, ranges: list[tuple[int, int]], looks: int) -> None:
    """Adds what is masked in a text that begins at `offset`, until nothing more is found around it."""
    found = find(text)
    if not found:
        return
    if not looks or len(found) > MAX_FOUND:
        ranges.append((offset, offset + len(text)))
        return
    position = 0
    for secret in found:
        _add_ranges(text[position : secret.start], offset + position, ranges, looks - 1)
        ranges.append((offset + secret.start, offset + secret.end))
        position = secret.end
    _add_ranges(text[position:], offset + position, ranges, looks - 1)


def redact_all(texts: Sequence[str]) -> list[str]:
    """Arguments of one command, each redacted, also where only the one before says that it is a secret (`--password x`)."""
    found = find(" ".join(texts))
    if not found:
        return list(texts)
    if len(found) > MAX_FOUND:
        return [MASK] * len(texts)
    redacted: list[str] = []
    start = at = 0
    for text in texts:
        end = start + len(text)
        while at < len(found) and found[at].end <= start:
            at += 1
        parts: list[str] = []
        position, here = start, at
        while here < len(found) and found[here].start < end:
            parts += [text[position - start : max(found[here].start, start) - start], MASK]
            position = min(found[here].end, end)
            here += 1
        redacted.append(redact("".join([*parts, text[position - start :]])))
        start = end + 1
    return redacted


def redact_named(name: str, value: str) -> str:
    """The value of a field, variable or header: masked as a whole if the name says that it is a secret."""
    if not value or MASK in value:
        return redact(value)
    value = encodable(value)
    if len(name) <= _NAME_CHARS and _says_nothing(name):
        return redact(value)
    plain = name.strip().lower()
    if plain in _CREDENTIAL_HEADERS:
        scheme, space, rest = value.partition(" ")
        return f"{scheme} {MASK}" if space and rest and scheme.isalpha() else MASK
    if is_reference(value):
        return redact(value)
    if names_a_secret(name) or (may_name_a_secret(name) and looks_random(value)):
        return MASK
    return redact(value)


_CREDENTIAL_HEADERS = frozenset({"authorization", "proxy-authorization", "cookie", "set-cookie"})
# What is longer is not looked up among the names that came lately: they are kept.
_NAME_CHARS = 64


@lru_cache(maxsize=1024)
def _says_nothing(name: str) -> bool:
    """Whether only the value counts: most fields have the same few names."""
    is_header = name.strip().lower() in _CREDENTIAL_HEADERS
    return not (is_header or names_a_secret(name) or may_name_a_secret(name))


def redact_value(value: object, name: str = "") -> object:
    """A JSON value with the texts in it redacted, keys as well as values; what is no text stays as it is."""
    if isinstance(value, str):
        return redact_named(name, value)
    if isinstance(value, Mapping):
        return {redact(str(key)): redact_value(inner, str(key)) for key, inner in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray):
        if name.lower() == "argv" and all(isinstance(inner, str) for inner in value):
            return redact_all(value)
        return [redact_value(inner, name) for inner in value]
    return value
