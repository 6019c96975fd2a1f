"""One service's Redis credentials reach its own keys, and nothing of the others'."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import permutations

import pytest
import redis
from redis.exceptions import NoPermissionError, ResponseError

from tests.support.redis_server import SERVICES, RedisServer

PAIRS = list(permutations(SERVICES, 2))
Connect = Callable[[str], redis.Redis]


@pytest.fixture
def connect(fresh_redis: RedisServer) -> Iterator[Connect]:
    clients: list[redis.Redis] = []

    def connect(user: str) -> redis.Redis:
        clients.append(redis.Redis.from_url(fresh_redis.url(user), driver_info=None, protocol=2))
        return clients[-1]

    yield connect
    for client in clients:
        client.close()


def denied(client: redis.Redis, *command: str | int) -> None:
    # Inside a script Redis 6 answers with a plain error that quotes the refusal.
    with pytest.raises(ResponseError, match=r"no permissions|NOPERM|can't access|can't run|ACL"):
        client.execute_command(*command)  # type: ignore[no-untyped-call]


@pytest.mark.parametrize(("intruder", "owner"), PAIRS)
@pytest.mark.parametrize(
    "command",
    [
        "GET {key}", "MGET {own} {key}", "EXISTS {key}", "TYPE {key}", "TTL {key}", "GETRANGE {key} 0 -1",
        "HGETALL {hash}", "HSCAN {hash} 0", "XRANGE {stream} - +", "XREAD STREAMS {stream} 0", "SORT {list}",
        "SORT {own-list} BY {owner}:* GET {owner}:*", "DUMP {key}", "OBJECT ENCODING {key}", "MEMORY USAGE {key}",
    ],
)  # fmt: skip
def test_cannot_read(connect: Connect, intruder: str, owner: str, command: str) -> None:
    denied(connect(intruder), *_seeded(connect, intruder, owner, command))


@pytest.mark.parametrize(("intruder", "owner"), PAIRS)
@pytest.mark.parametrize(
    "command",
    [
        "SET {key} x", "MSET {own} x {key} x", "DEL {key}", "UNLINK {key}", "EXPIRE {key} 1", "RENAME {own} {key}",
        "RENAME {key} {own}", "COPY {key} {own}", "HSET {hash} f x", "XADD {stream} * f x", "RPUSH {list} x",
        "SUNIONSTORE {own-set} {key}", "RESTORE {key} 0 x", "MIGRATE localhost 1 {key} 0 1", "MOVE {key} 1",
        "PUBLISH {owner}:news x",
    ],
)  # fmt: skip
def test_cannot_write(connect: Connect, intruder: str, owner: str, command: str) -> None:
    words = _seeded(connect, intruder, owner, command)
    denied(connect(intruder), *words)
    assert connect("admin").get(f"{owner}:key") == b"secret"


@pytest.mark.parametrize(("intruder", "owner"), PAIRS)
@pytest.mark.parametrize(
    "command",
    [
        "SCAN 0", "KEYS *", "RANDOMKEY", "DBSIZE", "PUBSUB CHANNELS", "CLIENT LIST", "MONITOR", "ACL LIST",
        "CONFIG GET *",
        "FLUSHALL", "FLUSHDB", "SWAPDB 0 1", "SLOWLOG GET", "DEBUG OBJECT {key}", "SHUTDOWN", "SAVE", "BGSAVE",
        "REPLICAOF NO ONE", "SCRIPT FLUSH", "SCRIPT KILL", "CLIENT KILL TYPE normal", "CLIENT PAUSE 1", "PSYNC ? -1",
        "SYNC",
        "ACL SETUSER {owner} nopass",
    ],
)  # fmt: skip
def test_cannot_list_or_rule(connect: Connect, intruder: str, owner: str, command: str) -> None:
    denied(connect(intruder), *_seeded(connect, intruder, owner, command))


@pytest.mark.parametrize(("intruder", "owner"), PAIRS)
@pytest.mark.parametrize("command", ["GET", "DEL", "TTL"])
@pytest.mark.parametrize("declared", [True, False])
def test_scripts_are_no_way_around(connect: Connect, intruder: str, owner: str, command: str, declared: bool) -> None:
    _seeded(connect, intruder, owner, "PING")
    key = f"{owner}:key"
    if declared:
        denied(connect(intruder), "EVAL", f"return redis.call('{command}', KEYS[1])", 1, key)
    else:
        denied(connect(intruder), "EVAL", f"return redis.call('{command}', ARGV[1])", 0, key)
    assert connect("admin").get(key) == b"secret"


@pytest.mark.parametrize("intruder", SERVICES)
@pytest.mark.parametrize("command", ["SCAN", "KEYS", "RANDOMKEY", "FLUSHALL", "PUBSUB"])
def test_scripts_cannot_list(connect: Connect, intruder: str, command: str) -> None:
    words = {"SCAN": "'SCAN', '0'", "KEYS": "'KEYS', '*'", "PUBSUB": "'PUBSUB', 'CHANNELS'"}
    denied(connect(intruder), "EVAL", f"return redis.call({words.get(command, repr(command))})", 0)


@pytest.mark.parametrize(("intruder", "owner"), PAIRS)
def test_cannot_listen(connect: Connect, intruder: str, owner: str) -> None:
    for subscribe in ("subscribe", "psubscribe"):
        with connect(intruder).pubsub() as listener:  # type: ignore[no-untyped-call]
            getattr(listener, subscribe)(f"{owner}:news")
            with pytest.raises(NoPermissionError):
                listener.get_message(timeout=5)


@pytest.mark.parametrize("user", SERVICES)
def test_can_do_its_work(connect: Connect, user: str) -> None:
    """What the services need, on their own keys."""
    client = connect(user)
    key = f"{user}:{{o07}}:work"
    assert client.set(key, "1", ex=60)
    assert client.ttl(key) > 0
    assert client.hset(f"{key}:h", mapping={"a": "1"}) == 1
    assert client.zadd(f"{key}:z", {"m": 1.5}) == 1
    assert client.rpush(f"{key}:l", "x") == 1
    assert client.sadd(f"{key}:s", "x") == 1
    entry = client.xadd(f"{key}:x", {"f": "v"})
    client.xgroup_create(f"{key}:x", "g", id="0")
    assert client.xreadgroup("g", "c", {f"{key}:x": ">"})
    assert client.xack(f"{key}:x", "g", entry) == 1
    client.xautoclaim(f"{key}:x", "g", "c", min_idle_time=0)
    assert client.xread({f"{key}:x": "0"}, block=10)
    assert client.time()
    assert client.info("persistence")
    assert client.eval("redis.call('SET', KEYS[1], 'x') return redis.call('TIME')", 1, key)
    assert client.publish(f"{user}:news", "x") == 0
    with client.pubsub() as listener:  # type: ignore[no-untyped-call]
        listener.subscribe(f"{user}:news")
        message = listener.get_message(timeout=5)
        assert message is not None
        assert message["type"] == "subscribe"
    with client.pipeline(transaction=True) as pipe:
        pipe.get(key)
        pipe.delete(key)
        assert pipe.execute() == [b"x", 1]


def _seeded(connect: Connect, intruder: str, owner: str, command: str) -> list[str]:
    """Give owner and intruder keys, and fill in the command's."""
    admin = connect("admin")
    for user in (owner, intruder):
        admin.set(f"{user}:key", "secret")
        admin.hset(f"{user}:hash", "f", "secret")
        admin.xadd(f"{user}:stream", {"f": "secret"})
        admin.rpush(f"{user}:list", "1")
    names = {
        "{key}": f"{owner}:key",
        "{hash}": f"{owner}:hash",
        "{stream}": f"{owner}:stream",
        "{list}": f"{owner}:list",
        "{owner}": owner,
        "{own}": f"{intruder}:key",
        "{own-list}": f"{intruder}:list",
        "{own-set}": f"{intruder}:set",
    }
    for name, value in names.items():
        command = command.replace(name, value)
    return command.split()
