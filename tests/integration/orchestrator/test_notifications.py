"""Wake-ups over a real pub/sub connection."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from services.orchestrator.execution.notifications import Notifications, Subscription
from services.orchestrator.store import keys
from services.runtime.redis import connect
from tests.integration.orchestrator.conftest import Stack


@pytest.fixture
async def redis(stack: Stack) -> AsyncIterator[Redis]:
    redis = connect(stack.redis_url("orchestrator"), client_name="test")
    yield redis
    await redis.aclose()


@pytest.fixture
async def notifications(stack: Stack) -> AsyncIterator[Notifications]:
    listening = connect(stack.redis_url("orchestrator"), client_name="test", blocking=True)
    notifications = Notifications(listening)
    running = asyncio.create_task(notifications.run())
    yield notifications
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await listening.aclose()


async def confirmed(subscription: Subscription) -> None:
    """Wait for the wake-up that the confirmation of a new channel is."""
    assert await subscription.wait_wake(5)


async def test_a_listener_is_woken_once_for_what_it_missed(notifications: Notifications, redis: Redis) -> None:
    with notifications.subscribe("orchestrator:run:a") as listener:
        await confirmed(listener)
        for _ in range(3):
            await redis.publish("orchestrator:run:a", "1")
        await redis.publish("orchestrator:run:b", "1")
        await asyncio.sleep(0.1)
        assert await listener.wait_wake(5)
        assert not await listener.wait_wake(0.1)


async def test_all_listeners_of_a_channel_are_woken(notifications: Notifications, redis: Redis) -> None:
    with notifications.subscribe("orchestrator:run:a") as one, notifications.subscribe("orchestrator:run:a") as two:
        await confirmed(one)
        await confirmed(two)
        await redis.publish("orchestrator:run:a", "1")
        assert await one.wait_wake(5)
        assert await two.wait_wake(5)


async def test_leaving_and_coming_back_loses_nothing(notifications: Notifications, redis: Redis) -> None:
    for turn in range(50):
        with notifications.subscribe("orchestrator:run:a") as listener:
            if turn % 3:
                await asyncio.sleep(0)
    with notifications.subscribe("orchestrator:run:a") as listener:
        # A channel that was not given up in between is not confirmed again.
        await asyncio.sleep(0.2)
        await listener.wait_wake(0)
        await redis.publish("orchestrator:run:a", "1")
        assert await listener.wait_wake(5)


async def test_channels_without_listeners_are_given_up(notifications: Notifications, redis: Redis) -> None:
    with notifications.subscribe("orchestrator:run:left") as listener:
        await confirmed(listener)
    with notifications.subscribe("orchestrator:run:next") as listener:
        await confirmed(listener)
    assert await redis.publish("orchestrator:run:left", "1") == 0


async def test_listeners_are_woken_when_the_connection_is_lost_and_when_it_is_back(
    stack: Stack, notifications: Notifications, redis: Redis
) -> None:
    admin = connect(stack.redis_url("admin"), client_name="admin")
    with notifications.subscribe(keys.WAKE_CHANNEL) as listener:
        await confirmed(listener)
        await admin.client_kill_filter(_type="pubsub")
        assert await listener.wait_wake(5)  # lost
        assert await listener.wait_wake(5)  # back
        await redis.publish(keys.WAKE_CHANNEL, "1")
        assert await listener.wait_wake(5)
    await admin.aclose()


async def test_draining_wakes_everybody(notifications: Notifications) -> None:
    with notifications.subscribe("orchestrator:run:a") as listener:
        await confirmed(listener)
        await notifications.drain()
        assert await listener.wait_wake(0.1)
