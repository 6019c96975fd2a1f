"""Handing ready steps to workers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from services.orchestrator.engine.commands import Granted, Lease
from services.orchestrator.execution.executor import Executor
from services.orchestrator.execution.notifications import Notifications
from services.orchestrator.store import keys
from services.orchestrator.store.schedule import ReadyStep, Schedule
from services.runtime.errors import Aborted, NotFound

POLL_S = 1.0
"""How long a waiting worker may miss a step whose notification was lost."""


class Leasing:
    """Leases from the queues of all shards."""

    def __init__(
        self,
        schedule: Schedule,
        executor: Executor,
        notifications: Notifications,
        lease_ms: int,
    ) -> None:
        self._schedule = schedule
        self._executor = executor
        self._notifications = notifications
        self._claimed: set[ReadyStep] = set()
        self.lease_ms = lease_ms

    async def lease(
        self, worker_id: str, agents: Sequence[str], limit: int, wait_s: float, stop: asyncio.Event
    ) -> list[Granted]:
        """Lease up to ``limit`` steps, waiting up to ``wait_s`` for the first, or until ``stop`` is set (draining)."""
        until = time.monotonic() + wait_s
        with self._notifications.subscribe(keys.WAKE_CHANNEL) as wake:
            while True:
                leased = [] if stop.is_set() else await self._lease_now(worker_id, agents, limit)
                left = until - time.monotonic()
                if leased or left <= 0 or stop.is_set():
                    return leased
                await wake.wait_wake(min(left, POLL_S))

    async def _lease_now(self, worker_id: str, agents: Sequence[str], limit: int) -> list[Granted]:
        # Entries another call of this process is busy with are asked for too, so that they do not hide free ones.
        found = await self._schedule.ready(agents, limit + len(self._claimed))
        mine = [entry for entry in found if entry not in self._claimed][:limit]
        if not mine:
            return []
        self._claimed.update(mine)
        try:
            answers = await asyncio.gather(*(self._lease_one(worker_id, entry) for entry in mine))
        finally:
            self._claimed.difference_update(mine)
        return [answer for answer in answers if answer is not None]

    async def _lease_one(self, worker_id: str, entry: ReadyStep) -> Granted | None:
        try:
            reply = await self._executor.submit(entry.run_id, Lease(entry.step_id, worker_id, self.lease_ms))
        except Aborted:
            return None
        except NotFound:
            # Only a restore of older data can leave such an entry.
            await self._schedule.forget_ready(entry)
            return None
        return reply.granted
