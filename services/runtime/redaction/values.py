"""What a value looks like: random as secrets are, a placeholder, a reference to a secret, or a digest."""

from __future__ import annotations

from services.runtime import patterns
from services.runtime.redaction.rule import entropy

_PLACEHOLDER = patterns.compile(
    r"(?i)^(?:x{3,}|\*+|\.+|your|my[^a-z]|the[^a-z]|change|example|dummy|fake|placeholder|todo|none|null|true|false|string|redacted|\[secret)"
)
# Somewhere to find a value, or code that makes one: a path, an address, members of objects, a pinned name of an image.
_REFERENCE = patterns.compile(
    r"^(?:[~.]{0,2}/|[A-Za-z]:\\|[a-z][a-z0-9+.-]{1,20}://|[$%<{@&!]|[A-Za-z_]+\d{0,5}[A-Za-z_]*(?:(?:\.|::|->)[A-Za-z_]+\d{0,5}[A-Za-z_]*)+(?:[(\[].*)?$|[^:@\s]+[:@]sha256:)"
)
_DIGEST = patterns.compile(
    r"(?i)(?:sha(?:1|224|256|384|512)[:=-]|md5[:=-])?(?:[0-9a-f]{32}|[0-9a-f]{40}|[0-9a-f]{56}|[0-9a-f]{64}|[0-9a-f]{96}|[0-9a-f]{128})"
    r"|[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}"
    r"|sha(?:256|384|512)-[0-9a-z+/]{43,88}={0,2}"
)
_MIN_BITS = 2.75  # bits a character: prose words have no digits, and numbered names repeat letters


def is_reference(value: str) -> bool:
    """Whether a value only says where the secret is: a path, an address, a variable, a placeholder."""
    return bool(_PLACEHOLDER.search(value) or _REFERENCE.search(value))


def is_digest(value: str) -> bool:
    """Whether a value is as long as a digest in hex, a UUID, or a digest with its algorithm's name."""
    return _DIGEST.fullmatch(value) is not None


def looks_random(value: str) -> bool:
    """Whether a value looks as if nobody had thought of it: letters and digits, mixed, and not the name of something."""
    if not (any(c.isdigit() for c in value) and any(c.isalpha() for c in value)):
        return False
    return entropy(value) >= _MIN_BITS and not is_reference(value)
