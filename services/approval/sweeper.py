"""What happens by itself: escalation, expiry, and forgetting what is long over."""

from __future__ import annotations

import asyncio

import structlog
from redis.exceptions import RedisError

from services.approval.gate import Gate
from services.approval.store.journal import Journal
from services.runtime.context import draining

# Retention is counted in days; looking more often than this finds nothing.
_FORGET_EVERY_SECONDS = 60.0

log = structlog.get_logger(__name__)


class Sweeper:
    """Runs in every process; whoever comes first does it, and each thing is done once."""

    def __init__(self, gate: Gate, journal: Journal, *, every_seconds: float, retention_ms: int) -> None:
        self._gate = gate
        self._journal = journal
        self._every_seconds = every_seconds
        self._retention_ms = retention_ms

    async def run(self) -> None:
        """Sweep until the process drains."""
        clock = asyncio.get_running_loop().time
        forget_at = clock()
        # Looked at as well as being cancelled: on Python 3.11 a cancellation that meets a Redis command which has just
        # been sent is lost (asyncio.wait_for), and the loop would go on for ever.
        drain = draining()
        while not drain.is_set():
            try:
                while await self._gate.do_due():
                    pass
                if clock() >= forget_at:
                    while await self._gate.forget_closed(self._retention_ms):
                        pass
                    await self._journal.trim()
                    forget_at = clock() + _FORGET_EVERY_SECONDS
            except RedisError as error:
                log.warning("sweep_failed", error=str(error))
            if not drain.is_set():
                await asyncio.sleep(self._every_seconds)
