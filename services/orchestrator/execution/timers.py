"""Does what the clock demands: lost leases, attempts that take too long, backoffs that are over."""

from __future__ import annotations

import asyncio
import random

import structlog

from services.orchestrator.engine.commands import Command, DeadlinePassed, LeaseExpired, Wake
from services.orchestrator.engine.decide import Timer
from services.orchestrator.execution.executor import Executor
from services.orchestrator.execution.gates import Gates
from services.orchestrator.store.schedule import Schedule
from services.runtime.errors import NotFound

log = structlog.get_logger(__name__)

PERIOD_S = 0.2
"""Between two looks at the timers: how late a timer can fire on an idle server."""


class Timers:
    """Fires timers. Any number of processes may do so at once."""

    def __init__(self, schedule: Schedule, executor: Executor, gates: Gates) -> None:
        self._schedule = schedule
        self._executor = executor
        self._gates = gates
        self._checking: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Fire timers until cancelled."""
        while True:
            try:
                due = await self._schedule.due_timers()
                if due:
                    await self.fire(due)
                    continue
            except Exception:  # Redis away, or one bad run: the timers stay, and are looked at again
                log.exception("timers failed; trying again")
            await asyncio.sleep(PERIOD_S)

    async def fire(self, due: list[tuple[str, Timer]]) -> None:
        """Act on timers that were taken.

        Approvals are looked up beside the rest: a service that hangs must not hold up leases, deadlines and backoffs.
        What comes due while a look-up is under way is taken again later.
        """
        gates = [(run_id, timer) for run_id, timer in due if timer.kind == "gate"]
        others = [(run_id, timer) for run_id, timer in due if timer.kind != "gate"]
        if gates and (self._checking is None or self._checking.done()):
            self._checking = asyncio.create_task(self._check(gates))
        results = await asyncio.gather(*(self._fire(run_id, timer) for run_id, timer in others))
        stale = [entry for entry, kept in zip(others, results, strict=True) if not kept]
        if stale:
            await self._schedule.drop_timers(stale)

    async def _check(self, gates: list[tuple[str, Timer]]) -> None:
        try:
            await self._gates.check(gates)
        except Exception:  # the timers stay, and are looked at again
            log.exception("approvals not looked up; trying again")

    async def _fire(self, run_id: str, timer: Timer) -> bool:
        try:
            return (await self._executor.submit(run_id, _command(timer))).ok
        except NotFound:
            return False


def _command(timer: Timer) -> Command:
    # Jitter is a matter of load, not of secrecy.
    match timer.kind:
        case "lease":
            return LeaseExpired(timer.step_id, timer.attempt)
        case "deadline":
            return DeadlinePassed(timer.step_id, timer.attempt, random.random())
        case _:
            return Wake(timer.step_id, timer.attempt)
