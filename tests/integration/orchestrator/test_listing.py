"""Pages over the indexes of several shards."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from services.orchestrator.store import keys
from services.orchestrator.store.listing import Entry, newest
from services.runtime.ids import new_id
from services.runtime.redis import connect
from tests.integration.orchestrator.conftest import SHARDS, Stack


@pytest.fixture
async def redis(stack: Stack) -> AsyncIterator[Redis]:
    redis = connect(stack.redis_url("orchestrator"), client_name="test")
    yield redis
    await redis.aclose()


async def walk(redis: Redis, indexes: list[str], limit: int) -> list[Entry]:
    found: list[Entry] = []
    more = True
    while more:
        page, more = await newest(redis, indexes, limit, found[-1] if found else None)
        assert len(page) == limit or not more
        found += page
    return found


@pytest.mark.parametrize("moments", [1, 3, 1000])
@pytest.mark.parametrize("limit", [1, 7, 40, 200])
async def test_pages_are_complete_and_in_order_whatever_the_ties(redis: Redis, moments: int, limit: int) -> None:
    owner = new_id("usr")
    indexes = [keys.owner_runs(shard, owner) for shard in range(SHARDS)]
    entries = []
    for _ in range(120):
        shard = random.randrange(SHARDS)
        entry = Entry(random.randrange(moments), new_id("run", shard))
        entries.append(entry)
        await redis.zadd(indexes[shard], {entry.id: entry.created_ms})
    assert await walk(redis, indexes, limit) == sorted(entries, key=lambda entry: entry.order, reverse=True)


async def test_a_page_stays_right_when_its_last_entry_is_removed(redis: Redis) -> None:
    index = keys.owner_runs(0, new_id("usr"))
    entries = [Entry(n, new_id("run", 0)) for n in range(6)]
    await redis.zadd(index, {entry.id: entry.created_ms for entry in entries})
    page, _ = await newest(redis, [index], 3)
    await redis.zrem(index, page[-1].id)
    assert await newest(redis, [index], 3, page[-1]) == (entries[2::-1], False)


async def test_nothing_stored_is_an_empty_page(redis: Redis) -> None:
    assert await newest(redis, [keys.owner_runs(0, new_id("usr"))], 10) == ([], False)
