"""Redis's clock, as close as it can be known without asking each time."""

from __future__ import annotations

import time

from redis.asyncio import Redis

from services.runtime.redis import server_time


class RedisClock:
    """Server time in milliseconds: the local monotonic clock plus an offset measured at every commit.

    The local wall clock plays no part, so a machine whose clock is wrong or jumps decides nothing wrong.
    Between two measurements the error is the network's delay and the drift of the monotonic clock.
    """

    def __init__(self) -> None:
        self._offset_ms: float | None = None

    async def calibrate(self, redis: Redis) -> None:
        """Measure the offset."""
        self.observe(int(await server_time(redis) * 1000))

    def observe(self, server_ms: int) -> None:
        """Take a time that the server has just told."""
        self._offset_ms = server_ms - time.monotonic() * 1000

    def now_ms(self) -> int:
        """Return the server's time now.

        Raises:
            RuntimeError: if it was never measured.
        """
        if self._offset_ms is None:
            raise RuntimeError("the clock was not calibrated")
        return int(self._offset_ms + time.monotonic() * 1000)
