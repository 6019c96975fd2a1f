"""Connections, and scripts, against a real server."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis
from redis.exceptions import AuthenticationError, ResponseError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from services.runtime.errors import ConfigurationError
from services.runtime.redis import Script, ScriptCall, connect, run_scripts, server_time, wait_until_reachable
from tests.support.redis_server import RedisServer

COUNT = Script("return redis.call('INCRBY', KEYS[1], ARGV[1])", "count")


@pytest.fixture
async def client(fresh_redis: RedisServer) -> AsyncIterator[Redis]:
    client = connect(fresh_redis.url("approval"), client_name="test")
    yield client
    await client.aclose()


async def test_script_is_sent_once_and_again_after_a_flush(client: Redis, fresh_redis: RedisServer) -> None:
    assert await COUNT(client, ["approval:n"], [2]) == 2
    assert await COUNT(client, ["approval:n"], [2]) == 4
    fresh_redis.flush()
    assert await COUNT(client, ["approval:n"], [2]) == 2


async def test_script_from_a_file(client: Redis, tmp_path: Path) -> None:
    path = tmp_path / "double.lua"
    path.write_text("return ARGV[1] * 2")
    assert await Script.load(path)(client, [], [21]) == 42


async def test_scripts_in_one_round_trip(client: Redis) -> None:
    calls = [ScriptCall(COUNT, [f"approval:{n}"], [n]) for n in range(5)]
    calls[2] = ScriptCall(Script("return redis.call('INCR', KEYS[1], 'x', 'y')"), ["approval:2"])
    for _ in range(2):
        answers: list[Any] = await run_scripts(client, calls)
        assert isinstance(answers.pop(2), ResponseError)
    assert answers == [0, 2, 6, 8]
    assert await run_scripts(client, []) == []


async def test_server_time(client: Redis) -> None:
    assert abs(await server_time(client) - time.time()) < 60


async def test_survives_a_restart_of_the_server(own_redis: RedisServer) -> None:
    client = connect(own_redis.url("approval"), client_name="test")
    await client.set("approval:k", "v")
    await asyncio.to_thread(own_redis.stop)
    await asyncio.to_thread(own_redis.start)
    assert await client.get("approval:k") == b"v"
    await client.aclose()


async def test_connecting_is_patient(own_redis: RedisServer) -> None:
    client = connect(own_redis.url("approval"), client_name="test")
    own_redis.stop()
    restarted = asyncio.create_task(asyncio.to_thread(own_redis.start))
    assert await client.set("approval:k", "v")
    await restarted
    await client.aclose()


async def test_a_command_is_never_repeated(own_redis: RedisServer) -> None:
    """An answer that is late may belong to a write that happened: the caller must decide, so it is told."""
    client = connect(own_redis.url("approval"), client_name="test", timeout=0.3)
    await client.set("approval:n", 0)
    own_redis.pause()
    with pytest.raises(RedisTimeoutError):
        await client.incr("approval:n")
    own_redis.resume()
    assert await client.get("approval:n") == b"1"
    await client.aclose()


async def test_a_blocking_client_waits_longer_than_the_timeout(fresh_redis: RedisServer, client: Redis) -> None:
    blocking = connect(fresh_redis.url("approval"), client_name="test", blocking=True, timeout=0.2)
    reading = asyncio.ensure_future(blocking.blpop(["approval:list"], 5))
    await asyncio.sleep(0.5)
    await client.rpush("approval:list", "x")
    assert list(await reading or ()) == [b"approval:list", b"x"]
    await blocking.aclose()


async def test_a_full_pool_waits_then_says_so(fresh_redis: RedisServer) -> None:
    blocking = connect(fresh_redis.url("approval"), client_name="test", blocking=True, max_connections=1, timeout=0.2)
    reading = asyncio.ensure_future(blocking.blpop(["approval:list"], 1))
    await asyncio.sleep(0.05)
    with pytest.raises(RedisConnectionError):
        await blocking.get("approval:k")
    await reading
    assert await blocking.get("approval:k") is None
    await blocking.aclose()


async def test_wrong_password_is_not_repeated(fresh_redis: RedisServer) -> None:
    client = connect(fresh_redis.url("approval").replace("approval-", "wrong-"), client_name="test")
    with fresh_redis.admin() as admin:
        admin.acl_log_reset()
        with pytest.raises(AuthenticationError):
            await client.get("approval:k")
        with pytest.raises(ConfigurationError, match="credentials"):
            await wait_until_reachable(client)
        assert sum(int(entry["count"]) for entry in admin.acl_log()) == 2
    await client.aclose()


@pytest.mark.parametrize("url", ["", "nonsense", "http://host/", "redis://host:port/x", "redis://host:99999999/"])
def test_wrong_urls(url: str) -> None:
    with pytest.raises(ConfigurationError, match="HARNESS_REDIS_URL"):
        connect(url, client_name="test")
