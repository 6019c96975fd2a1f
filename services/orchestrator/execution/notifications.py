"""Wake-ups over Redis pub/sub, on a connection of its own.

A notification carries no data and may be lost or doubled: whoever is woken reads the truth from the store. To lose
none that matters, a subscriber is also woken when Redis confirms its subscription, the first time and after every
reconnection.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import structlog
from redis.asyncio import Redis
from redis.asyncio.client import PubSub
from redis.exceptions import RedisError

from services.orchestrator.store import keys

log = structlog.get_logger(__name__)

RECONNECT_SECONDS = 0.5


class Subscription:
    """One listener of one channel."""

    def __init__(self) -> None:
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """Wake the listener, now or at its next wait."""
        self._woken.set()

    async def wait_wake(self, timeout: float) -> bool:
        """Wait to be woken, `timeout` seconds at most; return whether it was. Takes all wake-ups until now as one."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._woken.wait(), timeout)
        woken = self._woken.is_set()
        self._woken.clear()
        return woken


class Notifications:
    """All subscriptions of the process, over one connection. `run` does the reading."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._listeners: dict[str, set[Subscription]] = {keys.WAKE_CHANNEL: set()}
        self._changed = asyncio.Event()
        self._requested: set[str] = set()

    @contextmanager
    def subscribe(self, channel: str) -> Iterator[Subscription]:
        """Listen to a channel inside the block. Read the store inside it before the first wait, then after each."""
        subscription = Subscription()
        if channel not in self._listeners:
            self._listeners[channel] = set()
            self._changed.set()
        self._listeners[channel].add(subscription)
        try:
            yield subscription
        finally:
            self._listeners[channel].discard(subscription)
            if not self._listeners[channel] and channel != keys.WAKE_CHANNEL:
                del self._listeners[channel]
                self._changed.set()

    async def drain(self) -> None:
        """Wake every listener, so that long polls and watches notice that the process drains."""
        self.wake_all()

    def wake_all(self) -> None:
        """Wake every listener."""
        for channel in self._listeners:
            self._wake(channel)

    async def run(self) -> None:
        """Read notifications until cancelled; reconnects by itself."""
        while True:
            try:
                async with self._redis.pubsub() as pubsub:
                    await self._serve(pubsub)
            except (RedisError, OSError) as error:
                log.warning("notifications interrupted", error=str(error))
            # Listeners read the store while nobody can tell them anything.
            self.wake_all()
            await asyncio.sleep(RECONNECT_SECONDS)

    async def _serve(self, pubsub: PubSub) -> None:
        self._requested.clear()
        await self._follow(pubsub)
        reader = asyncio.create_task(self._read(pubsub))
        try:
            while True:
                changed = asyncio.create_task(self._changed.wait())
                await asyncio.wait({reader, changed}, return_when=asyncio.FIRST_COMPLETED)
                changed.cancel()
                if reader.done():
                    reader.result()
                    return
                # Before looking, so that a change while the server is asked is seen in the next round.
                self._changed.clear()
                await self._follow(pubsub)
        finally:
            reader.cancel()
            with suppress(asyncio.CancelledError, RedisError, OSError):
                await reader

    async def _follow(self, pubsub: PubSub) -> None:
        """Ask the server for exactly the channels that have listeners."""
        wanted = set(self._listeners)
        added, dropped = wanted - self._requested, self._requested - wanted
        self._requested = wanted
        if added:
            await pubsub.subscribe(*added)
        if dropped:
            await pubsub.unsubscribe(*dropped)

    async def _read(self, pubsub: PubSub) -> None:
        while True:
            message = await pubsub.get_message(timeout=None)
            if message is None:
                continue
            if message["type"] in ("subscribe", "message"):
                self._wake(message["channel"].decode())

    def _wake(self, channel: str) -> None:
        for subscription in self._listeners.get(channel, ()):
            subscription.wake()
