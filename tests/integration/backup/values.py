"""The canonical digest of what a server holds, worked out from what its commands answer, without any RDB."""

from __future__ import annotations

from typing import Any

import redis

from tests.unit.backup import reference as ref


def _id(name: bytes) -> ref.Id:
    ms, seq = name.split(b"-")
    return int(ms), int(seq)


def _map(reply: Any) -> dict[bytes, Any]:
    """A reply of names and values, in either form."""
    return reply if isinstance(reply, dict) else dict(zip(reply[::2], reply[1::2], strict=True))


def _stream(client: Any, key: bytes) -> int:
    info = _map(client.execute_command("XINFO", "STREAM", key, "FULL", "COUNT", 0))
    entries = [(_id(entry[0]), list(zip(entry[1][::2], entry[1][1::2], strict=True))) for entry in info[b"entries"]]
    groups = []
    for group in map(_map, info[b"groups"]):
        pending = [(_id(name), int(when), int(times)) for name, _, when, times in group[b"pending"]]
        consumers = [
            (c[b"name"], int(c[b"seen-time"]), [_id(p[0]) for p in c[b"pending"]])
            for c in map(_map, group[b"consumers"])
        ]
        groups.append(ref.Group(group[b"name"], _id(group[b"last-delivered-id"]), pending, consumers))
    return ref.stream_of(entries, _id(info[b"last-generated-id"]), groups)


def _value(client: Any, key: bytes, kind: str) -> int:
    if kind == "string":
        return ref.string(client.get(key))
    if kind == "list":
        return ref.list_of(client.lrange(key, 0, -1))
    if kind == "set":
        return ref.set_of(client.smembers(key))
    if kind == "zset":
        return ref.zset_of(dict(client.zrange(key, 0, -1, withscores=True)))
    if kind == "hash":
        return ref.hash_of(client.hgetall(key))
    return _stream(client, key)


def digest(client: redis.Redis, prefix: str, expiries: dict[bytes, int]) -> str:
    """The digest of the keys under a prefix, with expiries as given."""
    raw: Any = redis.Redis(connection_pool=client.connection_pool)
    raw.response_callbacks.clear()
    total = []
    for key in client.scan_iter(match=prefix + "*", count=1000):
        kind = client.type(key).decode()  # type: ignore[union-attr]
        source = raw if kind == "stream" else client
        total.append(ref.record(key, kind, _value(source, key, kind), expiries.get(key)))
    return ref.total(total)
