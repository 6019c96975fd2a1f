"""Masks what `find` finds: in a text, in a list of arguments, in named values, and in objects of any shape."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from services.runtime.redaction.literals import may_name_a_secret, names_a_secret
from services.runtime.redaction.search import MAX_FOUND, encodable, find
from services.runtime.redaction.values import is_reference, looks_random

MASK = "[secret]"  # the same for everything, so that not even the length is told

# What is left between two masks may look like a secret where the whole did not; after this many looks, it is masked too.
_LOOKS = 3


def redact(text: str) -> str:
    """`text` with everything that `find` finds replaced by MASK. Redacting twice is redacting once."""
    return MASK.join(part for piece in text.split(MASK) for part in _without_secrets(piece, _LOOKS))


def _without_secrets(text: str, looks: int) -> list[str]:
    """What is left of a text around its secrets, which nothing more is found in; the text itself, if it has none."""
    found = find(text)
    if not found:
        return [text]
    if not looks or len(found) > MAX_FOUND:
        return ["", ""]
    parts: list[str] = []
    position = 0
    for secret in found:
        parts += _without_secrets(text[position : secret.start], looks - 1)
        position = secret.end
    return parts + _without_secrets(text[position:], looks - 1)


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
