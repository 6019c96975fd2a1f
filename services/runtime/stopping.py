"""Serving until somebody says that it is enough."""

from __future__ import annotations

import asyncio
import signal
from typing import Protocol

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Stoppable(Protocol):
    """Something that serves from `start` to the end of `drain`, which `hurry` cuts short."""

    async def start(self) -> str: ...

    async def drain(self) -> None: ...

    def hurry(self) -> None: ...


async def run_until_told(server: Stoppable) -> None:
    """Start, wait for SIGTERM or SIGINT, and drain; a second signal stops at once. Raises what the start raises."""
    stop = asyncio.Event()

    def on_signal() -> None:
        if stop.is_set():
            server.hurry()
        stop.set()

    loop = asyncio.get_running_loop()
    for number in _SIGNALS:
        loop.add_signal_handler(number, on_signal)
    try:
        await server.start()
        await stop.wait()
    finally:
        await server.drain()
        for number in _SIGNALS:
            loop.remove_signal_handler(number)
