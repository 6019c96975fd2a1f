"""How a delivery is signed, so that its receiver knows who sent it, and when."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Iterable

# As much as the digest has.
_SECRET_BYTES = 32

MIN_SECRET_BYTES = 24
"""Of a secret that somebody brings along."""


def new_secret() -> str:
    """A secret that nobody can guess."""
    return "whsec_" + secrets.token_urlsafe(_SECRET_BYTES)


def signature(body: bytes, timestamp: int, keys: Iterable[str]) -> str:
    """The Harness-Signature header: one `v1=<hex>` a key, separated by commas. The timestamp is in Unix seconds."""
    signed = b"%d.%s" % (timestamp, body)
    return ",".join("v1=" + hmac.new(key.encode(), signed, hashlib.sha256).hexdigest() for key in keys)
