"""Tasks beside the calls (sweepers, watchers): kept running, never silently dead."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from services.runtime.metrics import BACKGROUND_FAILURES

log = structlog.get_logger(__name__)

Background = Callable[[], Awaitable[None]]

_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 30.0


async def keep_running(task: Background) -> None:
    """Run the task until it returns; after a failure log it, count it, start it again (0.5 s doubling to 30 s)."""
    name = getattr(task, "__qualname__", None) or type(task).__qualname__
    pause = _FIRST_PAUSE
    loop = asyncio.get_running_loop()
    while True:
        started = loop.time()
        try:
            await task()
            return
        except Exception as exc:
            BACKGROUND_FAILURES.labels(name).inc()
            if loop.time() - started > _LONGEST_PAUSE:
                pause = _FIRST_PAUSE
            log.error("background_task_failed", task=name, restart_in=pause, exc_info=exc)
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)
