"""History, backup, loss, restore: the same history again, and work goes on where it was."""

import asyncio
from collections.abc import Callable, Iterator

import pytest
import redis

from harness.backup.v1 import backup_pb2
from motherharness import Client
from motherharness.devstack import Stack
from tests.e2e.conftest import ENVIRONMENT
from tests.e2e.flows import effects, end, history, name, pending, reason, risky, shell, start, workplace


@pytest.fixture
def stack() -> Iterator[Stack]:
    """A stack of this test alone, for it takes parts away from it."""
    with Stack(environment=ENVIRONMENT) as running:
        yield running


def contents(stack: Stack, prefix: str) -> dict[bytes, tuple[object, bool]]:
    """Return every key under a prefix with its value and whether it expires."""
    with redis.Redis.from_url(stack.redis_url("operator")) as operator:
        keys = list(operator.scan_iter(match=f"{prefix}*", count=1000))
        return {key: (value(operator, key), operator.ttl(key) >= 0) for key in keys}


def value(operator: redis.Redis, key: bytes) -> object:
    """Return the value of a key, of whatever type."""
    readers: dict[bytes | str, Callable[[], object]] = {
        b"string": lambda: operator.get(key),
        b"hash": lambda: operator.hgetall(key),
        b"list": lambda: operator.lrange(key, 0, -1),
        b"set": lambda: operator.smembers(key),
        b"zset": lambda: operator.zrange(key, 0, -1, withscores=True),
        b"stream": lambda: operator.xrange(key),
    }
    return readers[operator.type(key)]()


def lose(stack: Stack, prefix: str) -> int:
    """Delete every key under a prefix; return how many there were."""
    with redis.Redis.from_url(stack.redis_url("operator")) as operator:
        keys = list(operator.scan_iter(match=f"{prefix}*", count=1000))
        return int(operator.unlink(*keys))


async def test_orchestrator_comes_back_from_a_backup(stack: Stack) -> None:
    place, other = workplace(stack.root), workplace(stack.root)
    async with (
        Client(stack.connection("alice")) as alice,
        Client(stack.connection("bob")) as bob,
        Client(stack.connection("root")) as root,
    ):
        done = await start(alice, [shell("look", "echo found"), risky("clean", place, depends_on=["look"])])
        await bob.approve((await pending(alice, done.id)).id)
        before = await end(alice, done.id)
        waiting = await start(alice, [risky("clean", other), shell("after", "true", depends_on=["clean"])])
        question = await pending(alice, waiting.id)
        told = await history(alice, done.id), await history(alice, waiting.id)

        backup = await root.create_backup("orchestrator")
        async for latest in root.watch_backup(backup.backup_id):
            backup = latest
        assert backup.state == backup_pb2.BACKUP_STATE_COMPLETED, backup.error

        await asyncio.to_thread(stack.terminate, "orchestrator")
        # The approval service writes on by itself: what it seals, and what it removes.
        await asyncio.to_thread(stack.terminate, "approval")
        approvals = contents(stack, "approval:")
        kept = contents(stack, "orchestrator:")
        assert len(approvals) > 5
        assert lose(stack, "orchestrator:") == len(kept) == backup.keys

        restore = await root.restore_backup(backup.backup_id, confirm_target="orchestrator")
        async for state in root.watch_restore(restore.restore_id):
            restore = state
        assert restore.state == backup_pb2.RESTORE_STATE_COMPLETED, restore.error
        assert restore.report.restored_keys == restore.report.counted_keys == len(kept)
        assert restore.report.previous_keys == 0
        assert contents(stack, "orchestrator:") == kept
        assert contents(stack, "approval:") == approvals

        await asyncio.to_thread(stack.launch, "approval")
        await asyncio.to_thread(stack.launch, "orchestrator")
        assert (await history(alice, done.id), await history(alice, waiting.id)) == told
        assert await alice.get_run(done.id) == before
        assert (await alice.verify_run(done.id)).consistent
        assert effects(place) == ["clean"]

        # What waited for a human waits still, and goes on when it is decided.
        await bob.approve(question.id)
        assert reason(await end(alice, waiting.id)) == "COMPLETED"
        assert effects(other) == ["clean"]
        assert [name(event) for event in await history(alice, waiting.id)].count("STEP_COMPLETED clean") == 1
