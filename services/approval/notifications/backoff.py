"""When to try again."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

MAX_ATTEMPTS = 12
"""With the pauses below, about two to three hours: longer than most outages, shorter than the time to decide."""

FIRST_SECONDS = 10.0
LONGEST_SECONDS = 3600.0


def pause_seconds(attempts: int, retry_after: float | None = None, first: float = FIRST_SECONDS) -> float:
    """How long to wait after the given number of attempts: 10 s, doubling to an hour, less up to a half by chance.

    A receiver that says when to come back is believed, up to an hour, where that is later.
    """
    # A power that nobody needs is not computed: attempts can be any number.
    doubled: float = first * 2.0 ** min(max(0, attempts - 1), MAX_ATTEMPTS)
    pause = min(doubled, LONGEST_SECONDS) * random.uniform(0.5, 1.0)
    return max(pause, min(retry_after or 0.0, LONGEST_SECONDS))


def retry_after_seconds(header: str | None, now: datetime | None = None) -> float | None:
    """What a Retry-After header asks for: seconds, or a date. None if it is absent or cannot be read."""
    if not header:
        return None
    text = header.strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        when = parsedate_to_datetime(text)
    except (TypeError, ValueError):
        return None
    if when.tzinfo is None:
        when = when.replace(tzinfo=UTC)
    return max(0.0, (when - (now or datetime.now(UTC))).total_seconds())
