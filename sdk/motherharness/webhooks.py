"""For those who receive webhooks: is this from the service, as it was sent, and just now?"""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Mapping

TOLERANCE_SECONDS = 300.0
"""How old a delivery may be: longer than clocks differ, shorter than a copy of it is of use to anybody."""


class SignatureError(ValueError):
    """The delivery is not to be trusted; the message says why. Answer 400, and use nothing of it."""


def verify(
    body: bytes,
    headers: Mapping[str, str],
    secret: str,
    *,
    tolerance: float = TOLERANCE_SECONDS,
    now: float | None = None,
) -> str:
    """Check a delivery; the id of it. Deliveries come at least once: whoever has seen an id before does nothing again.

    Args:
        body: the bytes as they were received, before anything parses them.
        headers: of the request, in any case.
        secret: as CreateWebhook or RotateWebhookSecret gave it.
        tolerance: how old it may be, and how far in the future, seconds.
        now: the time, Unix seconds; by default this machine's.

    Raises:
        SignatureError: a header is missing or wrong, the time is too far off, or it was signed with another secret, or
            for other bytes.
    """
    given = {name.lower(): value for name, value in headers.items()}
    timestamp, signatures = given.get("harness-timestamp", ""), given.get("harness-signature", "")
    if not (timestamp.isascii() and timestamp.isdigit()) or len(timestamp) > 15:
        raise SignatureError("Harness-Timestamp is missing, or is no time")
    expected = b"v1=" + hmac.new(secret.encode(), timestamp.encode() + b"." + body, hashlib.sha256).hexdigest().encode()
    # Several while a secret is being replaced. All are compared, and in constant time.
    matches = [hmac.compare_digest(part.strip().encode(), expected) for part in signatures.split(",")]
    if not any(matches):
        raise SignatureError("Harness-Signature does not match: it is of another secret, or of other bytes")
    age = (time.time() if now is None else now) - int(timestamp)
    if abs(age) > tolerance:
        raise SignatureError(f"the delivery is {age:.0f} s old: it may have been recorded and sent again")
    return given.get("harness-delivery", "")
