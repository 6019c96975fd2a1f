"""Keeps the store from growing for ever."""

from __future__ import annotations

import asyncio

import structlog

from services.orchestrator.execution.clock import RedisClock
from services.orchestrator.store.retirement import Retirement

log = structlog.get_logger(__name__)

PERIOD_S = 600.0
"""Between two passes; a pass that found work is followed by the next at once."""

DAY_MS = 86_400_000


class Retention:
    """Forgets ended runs after a number of days."""

    def __init__(self, retirement: Retirement, clock: RedisClock, days: float) -> None:
        self._retirement = retirement
        self._clock = clock
        self._kept_ms = round(days * DAY_MS)

    async def run(self) -> None:
        """Forget old runs until cancelled."""
        while True:
            try:
                retired = await self._retirement.retire(self._kept_ms, self._clock.now_ms())
                if retired:
                    log.info("old runs forgotten", runs=retired)
                    continue
            except Exception:  # Redis away: the next pass finds the same runs
                log.exception("retention failed; trying again")
            await asyncio.sleep(PERIOD_S)
