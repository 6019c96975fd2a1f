"""Committing on a real Redis, with the orchestrator's own user: races, stale caches, timers, leases, retention."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress

import pytest
from redis.asyncio import Redis

from services.orchestrator.engine import commands as cmd
from services.orchestrator.engine.decide import Timer, start
from services.orchestrator.engine.evolve import fold
from services.orchestrator.engine.model import Header, Retry, RunStatus, Spec, StepStatus
from services.orchestrator.execution.clock import RedisClock
from services.orchestrator.execution.executor import Executor
from services.orchestrator.store import keys
from services.orchestrator.store.retirement import Retirement
from services.orchestrator.store.runs import Creation, RunStore
from services.orchestrator.store.schedule import Schedule
from services.runtime.errors import NotFound
from services.runtime.ids import new_id
from services.runtime.redis import connect
from tests.support.redis_server import RedisServer

SHARDS = 4


@pytest.fixture
async def redis(fresh_redis: RedisServer) -> AsyncIterator[Redis]:
    client = connect(fresh_redis.url("orchestrator"), client_name="test")
    yield client
    await client.aclose()


class Replica:
    """One orchestrator process's engine."""

    def __init__(self, redis: Redis) -> None:
        self.clock = RedisClock()
        self.store = RunStore(redis)
        self.executor = Executor(self.store, self.clock)
        self.schedule = Schedule(redis, SHARDS)
        self._redis = redis

    async def __aenter__(self) -> Replica:
        await self.clock.calibrate(self._redis)
        self._task = asyncio.create_task(self.executor.run())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task


@pytest.fixture
async def replicas(redis: Redis) -> AsyncIterator[tuple[Replica, Replica]]:
    async with AsyncExitStack() as stack:
        one = await stack.enter_async_context(Replica(redis))
        two = await stack.enter_async_context(Replica(redis))
        yield one, two


async def create(redis: Redis, replica: Replica, *specs: Spec, request_key: str = "") -> str:
    shard = 2
    header = Header(
        new_id("run", shard), new_id("tsk", shard), new_id("prj", shard), "alice", "development", "q", specs
    )
    await redis.hset(keys.task(header.task_id), mapping={"data": "{}", "active_run": "", "status": "planning"})
    said = await replica.store.create(start(header, replica.clock.now_ms()), Creation(request_key, "same"))
    assert said.status == "OK"
    return header.run_id


async def assert_consistent(replica: Replica, run_id: str) -> None:
    stored = await replica.store.load(run_id)
    assert stored is not None
    folded = fold(stored.header, await replica.store.events(run_id, 0, 10_000))
    assert (folded.core, folded.steps) == (stored.core, stored.steps)


async def test_of_many_workers_at_two_replicas_one_gets_the_lease(
    redis: Redis, replicas: tuple[Replica, Replica]
) -> None:
    run_id = await create(redis, replicas[0], Spec("a", "x"))
    answers = await asyncio.gather(
        *(replicas[n % 2].executor.submit(run_id, cmd.Lease("a", f"w{n}", 30_000)) for n in range(40))
    )
    assert sum(answer.ok for answer in answers) == 1
    await assert_consistent(replicas[0], run_id)


async def test_a_refusal_never_rests_on_a_stale_cache(redis: Redis, replicas: tuple[Replica, Replica]) -> None:
    one, two = replicas
    run_id = await create(redis, one, Spec("a", "x"), Spec("b", "x"))
    assert (await two.executor.submit(run_id, cmd.Lease("b", "w", 30_000))).ok
    assert (await one.executor.submit(run_id, cmd.Lease("a", "w", 30_000))).ok
    # `two` last saw the step as ready; the report is good all the same.
    assert (await two.executor.submit(run_id, cmd.Succeed("a", 1, {}))).ok
    await assert_consistent(one, run_id)


async def test_commands_of_many_runs_at_once_all_land(redis: Redis, replicas: tuple[Replica, Replica]) -> None:
    one, _ = replicas
    runs = [await create(redis, one, *(Spec(f"s{n}", "x") for n in range(5))) for _ in range(10)]
    leases = [(run_id, cmd.Lease(f"s{n}", "w", 30_000)) for run_id in runs for n in range(5)]
    assert all(reply.ok for reply in await one.executor.submit_all(leases))
    done = [(run_id, cmd.Succeed(f"s{n}", 1, {})) for run_id in runs for n in range(5)]
    assert all(reply.ok for reply in await one.executor.submit_all(done))
    for run_id in runs:
        run = await one.store.load(run_id)
        assert run is not None
        assert (run.core.status, run.core.reason) == (RunStatus.TERMINATED, "completed")
        await assert_consistent(one, run_id)


async def test_a_run_that_is_not_there_is_not_found(replicas: tuple[Replica, Replica]) -> None:
    with pytest.raises(NotFound):
        await replicas[0].executor.submit(new_id("run", 1), cmd.Lease("a", "w", 1))


async def test_a_task_has_one_open_run_and_a_request_id_makes_one_run(
    redis: Redis, replicas: tuple[Replica, Replica]
) -> None:
    one, _ = replicas
    specs = (Spec("a", "x"),)
    task, project = new_id("tsk", 1), new_id("prj", 1)
    await redis.hset(keys.task(task), mapping={"data": "{}", "active_run": "", "status": "planning"})

    async def attempt(key: str, fingerprint: str) -> str:
        header = Header(new_id("run", 1), task, project, "alice", "development", "q", specs)
        return (await one.store.create(start(header, 1), Creation(key, fingerprint))).status

    key = keys.request(1, "run", "alice", "r1")
    said = await asyncio.gather(*(attempt(key, "f") for _ in range(10)))
    assert sorted(said) == ["OK"] + ["REPEATED"] * 9
    assert await attempt(key, "other") == "REUSED"
    assert await attempt("", "") == "BUSY"


async def test_due_timers_are_handed_to_one_process_and_a_heartbeat_moves_them(
    redis: Redis, replicas: tuple[Replica, Replica]
) -> None:
    one, two = replicas
    run_id = await create(redis, one, Spec("a", "x"))
    await one.executor.submit(run_id, cmd.Lease("a", "w", 0))
    taken = await asyncio.gather(one.schedule.due_timers(), two.schedule.due_timers())
    assert [entry for rows in taken for entry in rows] == [(run_id, Timer("lease", "a", 1))]

    held = await one.schedule.extend_leases([(run_id, "a", 1), (run_id, "a", 2)], one.clock.now_ms() + 60_000)
    assert held == [True, False]
    assert (await one.executor.submit(run_id, cmd.LeaseExpired("a", 1))).ok
    assert await one.schedule.extend_leases([(run_id, "a", 1)], one.clock.now_ms() + 60_000) == [False]


async def test_the_queue_serves_priority_then_age(redis: Redis, replicas: tuple[Replica, Replica]) -> None:
    one, _ = replicas
    first = await create(redis, one, Spec("low", "x"), Spec("high", "x", priority=9))
    second = await create(redis, one, Spec("low", "x"))
    ready = await one.schedule.ready(["x", "y"], 10)
    assert ready == [(first, "high", "x"), (first, "low", "x"), (second, "low", "x")]


async def test_scripts_forgotten_by_the_server_are_sent_again(
    redis: Redis, replicas: tuple[Replica, Replica], fresh_redis: RedisServer
) -> None:
    one, _ = replicas
    run_id = await create(redis, one, Spec("a", "x"))
    with fresh_redis.admin() as admin:
        admin.script_flush()
    assert (await one.executor.submit(run_id, cmd.Lease("a", "w", 1))).ok
    await assert_consistent(one, run_id)


async def test_a_failed_attempt_comes_back_after_its_backoff(redis: Redis, replicas: tuple[Replica, Replica]) -> None:
    one, _ = replicas
    run_id = await create(redis, one, Spec("a", "x", retry=Retry(initial_ms=1)))
    await one.executor.submit(run_id, cmd.Lease("a", "w", 30_000))
    await one.executor.submit(run_id, cmd.Fail("a", 1, "BROKEN", "m", True, 0.0))
    assert await one.schedule.ready(["x"], 10) == []
    assert (run_id, Timer("wake", "a", 1)) in await one.schedule.due_timers()
    await one.executor.submit(run_id, cmd.Wake("a", 1))
    assert await one.schedule.ready(["x"], 10) == [(run_id, "a", "x")]
    assert await one.schedule.due_timers() == []


async def test_retention_forgets_ended_runs_and_never_open_ones(
    redis: Redis, replicas: tuple[Replica, Replica]
) -> None:
    one, _ = replicas
    ended = await create(redis, one, Spec("a", "x"))
    waiting = await create(redis, one, Spec("a", "coder", gated=True))
    await one.executor.submit(waiting, cmd.GateAnswered("a", 0, "human", "apr_1"))
    await one.executor.submit(ended, cmd.Lease("a", "w", 30_000))
    await one.executor.submit(ended, cmd.Succeed("a", 1, {}))
    retirement = Retirement(redis, one.store, SHARDS)
    assert await retirement.retire(kept_ms=3_600_000, now_ms=one.clock.now_ms()) == 0
    assert await retirement.retire(kept_ms=0, now_ms=one.clock.now_ms() + 1_000) == 1
    assert await one.store.load(ended) is None
    open_run = await one.store.load(waiting)
    assert open_run is not None
    assert open_run.steps["a"].status is StepStatus.WAITING_APPROVAL
    assert await redis.zrange(keys.runs(2), 0, -1) == [waiting.encode()]
