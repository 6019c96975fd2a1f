"""How much a sweep and a page touch: only what is due, the oldest first, and no more than their share."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from uuid import uuid4

import pytest
from redis.asyncio import Redis

from services.approval.changes import Changes
from services.approval.gate import Gate
from services.approval.grants.issuer import Grants
from services.approval.grants.ring import KeyRing
from services.approval.history import History
from services.approval.inbox import Inbox
from services.approval.lifecycle import Opening, Times
from services.approval.policies import Policies
from services.approval.record import Facts, Record, State
from services.approval.store.approvals import ApprovalStore, Draft, Query
from services.approval.store.events import EventLog
from services.approval.store.journal import Journal
from services.approval.store.policies import PolicyStore
from services.approval.store.remembered import RememberedStore
from services.runtime.redis import connect
from tests.support.redis_server import RedisServer

SHARE = 200
HOUR_MS = 3_600_000


class Watched(ApprovalStore):
    """Remembers what was loaded, whole or small."""

    def __init__(self, redis: Redis, shards: int) -> None:
        super().__init__(redis, shards)
        self.whole: list[str] = []
        self.small: list[str] = []

    async def load_many(self, approval_ids: Sequence[str]) -> tuple[list[Record | None], int]:
        self.whole += approval_ids
        return await super().load_many(approval_ids)

    async def load_small(self, approval_ids: Sequence[str]) -> tuple[list[Record | None], int]:
        self.small += approval_ids
        return await super().load_small(approval_ids)

    async def put(self, count: int, decide_within_ms: int, *, requester: str = "alice", level: int = 3) -> list[str]:
        """Let so many wait for a decision, in all shards."""
        drafts = [
            Draft(
                requester=requester,
                request_id=uuid4().hex,
                run_id="",
                step_id="s",
                project_id="prj_1",
                facts=Facts(digest="sha256:0", body=b"", level=level),
                opening=Opening(State.PENDING, decide_within_ms=decide_within_ms),
                event=lambda _: b"{}",
            )
            for _ in range(count)
        ]
        return [made.record.id for made in await self.create(drafts)]


@pytest.fixture
async def store(fresh_redis: RedisServer) -> AsyncIterator[Watched]:
    """A store over an empty Redis."""
    redis = connect(fresh_redis.url("approval"), client_name="approval")
    yield Watched(redis, 16)
    await redis.aclose()


def gate_of(store: Watched, redis: Redis) -> Gate:
    """A gate without anything around it: nobody else sweeps."""
    events = EventLog(redis, redis, shards=16, kept=1000, recheck_seconds=1)
    return Gate(
        store,
        Policies(PolicyStore(redis), History(store, "development")),
        Changes(store, events, Journal(redis, 16, [])),
        RememberedStore(redis, 16),
        Grants(KeyRing.open(None, development=True)),
        times=Times(),
        environment="development",
        max_body_bytes=1 << 20,
    )


async def test_a_sweep_touches_its_share_of_what_is_due_and_nothing_else(store: Watched) -> None:
    gate = gate_of(store, store._redis)
    first = await store.put(30, 2)
    await passed(store, 2)
    later = await store.put(SHARE + 20, 1)
    waiting = await store.put(60, HOUR_MS, requester="bob")
    await passed(store, 2)
    assert await gate.do_due() == SHARE
    # What was due for longest is among them, whatever shard it is in.
    assert len(store.small) == len(set(store.small)) == SHARE
    assert set(first) < set(store.small)
    store.small.clear()
    assert await gate.do_due() == 50
    assert len(store.small) == 50
    assert set(store.small) < set(later)
    store.small.clear()
    assert await gate.do_due() == 0
    assert not store.small
    records, _ = await store.load_many(first + later + waiting)
    assert [record.state for record in records if record] == [State.EXPIRED] * 250 + [State.PENDING] * 60


async def test_what_is_forgotten_is_what_was_closed_first(store: Watched) -> None:
    gate = gate_of(store, store._redis)
    first = await store.put(10, 1)
    await passed(store, 2)
    assert await gate.do_due() == 10
    await passed(store, 2)
    last = await store.put(SHARE, 1)
    await passed(store, 2)
    assert await gate.do_due() == SHARE
    await passed(store, 1)
    assert await gate.forget_closed(0) == SHARE
    records, _ = await store.load_many(first)
    assert records == [None] * 10
    assert await gate.forget_closed(0) == 10
    records, _ = await store.load_many(last)
    assert records == [None] * SHARE


async def passed(store: Watched, ms: int) -> None:
    """Let so much of Redis's time pass."""
    end = await store.now_ms() + ms
    for _ in range(10_000):
        if await store.now_ms() > end:
            return
        await asyncio.sleep(0.001)
    raise AssertionError("the clock of Redis stands still")


async def test_a_page_reads_the_smallest_index(store: Watched) -> None:
    await store.put(300, HOUR_MS, requester="busy")
    wanted = await store.put(3, HOUR_MS, requester="busy", level=5)
    query = Query(state=State.PENDING, requester="busy", project_id="prj_1", level=5)
    found, cursor = await Inbox(store).page(query, size=50, cursor="")
    assert sorted(approval.id for approval in found) == sorted(wanted)
    assert not cursor
    assert len(store.whole) == 3
    assert not store.small


async def test_what_a_page_does_not_show_is_not_loaded_whole(store: Watched) -> None:
    for n in range(10):
        await store.put(60, HOUR_MS, requester=f"other-{n}")
        await store.put(1, HOUR_MS, requester=f"wanted-{n}")

    def wanted(record: Record) -> bool:
        return record.requester.startswith("wanted")

    inbox, query = Inbox(store), Query(state=State.PENDING)
    seen: list[str] = []
    cursor = ""
    while True:
        found, cursor = await inbox.page(query, size=4, cursor=cursor, also=wanted)
        seen += [approval.requester for approval in found]
        if not cursor:
            break
    assert seen == [f"wanted-{n}" for n in reversed(range(10))]
    # A first batch of each page, and then what is shown and one more.
    assert len(store.whole) < 40
