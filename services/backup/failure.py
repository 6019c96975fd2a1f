"""How a job says why it stopped."""

from __future__ import annotations


class JobFailed(Exception):
    """A backup or a restore cannot go on.

    `reason` is stable and UPPER_SNAKE; `message` says what happened and what to do.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
