"""Keys of every type and encoding, and a digest of what a server holds that does not depend on the order
of sets and hashes."""

from __future__ import annotations

import hashlib
import random
import time
from typing import Any

import redis


def fill(client: redis.Redis, prefix: str, *, count: int = 40, seed: int = 7) -> int:
    """Write `count` keys of each type under a prefix, small and large. Returns the number of keys."""
    rng = random.Random(seed)
    pipe: Any = client.pipeline(transaction=False)
    # In the middle of a span of 100 s, which is how exactly `contents` looks at expiries; snapshots are
    # compared to the millisecond elsewhere.
    far = int(time.time()) // 100 * 100 + 86_450
    for i in range(count):
        tag = f"{prefix}{{s{i % 4:02d}}}:"
        pipe.set(f"{tag}string:{i}", rng.randbytes(rng.randrange(0, 400)))
        pipe.set(f"{tag}number:{i}", rng.choice([0, -1, 127, -129, 40_000, -(2**31), 2**31, 2**62]))
        pipe.set(f"{tag}text:{'compressible-' * 6}{i}", "word " * 200, exat=far + i)
        pipe.rpush(f"{tag}list:{i}", *[rng.choice([b"x", b"12", rng.randbytes(80)]) for _ in range(1 + i * 8)])
        pipe.sadd(f"{tag}ints:{i}", *[rng.randrange(10 ** (1 + i % 12)) for _ in range(3 + i)])
        pipe.sadd(f"{tag}set:{i}", *[f"m{rng.random()}" for _ in range(1 + i * 20)])
        pipe.hset(f"{tag}hash:{i}", mapping={f"f{j}": rng.randbytes(20) for j in range(1 + i * 20)})
        pipe.zadd(f"{tag}zset:{i}", {f"m{j}": rng.choice([rng.gauss(0, 1e9), float(j)]) for j in range(1 + i * 10)})
        pipe.pexpireat(f"{tag}zset:{i}", (far + i) * 1000 + 7)
        for j in range(1 + i * 4):
            pipe.xadd(f"{tag}stream:{i}", {"field": f"v{j}", "blob": rng.randbytes(30)}, id=f"{1000 + j}-{i}")
        pipe.xdel(f"{tag}stream:{i}", f"1000-{i}")
        pipe.xgroup_create(f"{tag}stream:{i}", "readers", id="0")
        pipe.xgroup_create(f"{tag}stream:{i}", "idle", id="$")
        pipe.xreadgroup("readers", "alice", {f"{tag}stream:{i}": ">"}, count=3)
        pipe.xreadgroup("readers", "bob", {f"{tag}stream:{i}": ">"}, count=2)
        pipe.xack(f"{tag}stream:{i}", "readers", f"1001-{i}")
    pipe.set(f"{prefix}big", rng.randbytes(9 << 20))
    pipe.zadd(f"{prefix}extremes", {"inf": float("inf"), "minus": float("-inf"), "zero": 0.0})
    pipe.execute()
    return count * 9 + 2


def contents(client: redis.Redis, prefix: str) -> dict[bytes, str]:
    """Digest of type, value and expiry of every key under a prefix."""
    return {key: _digest(client, key) for key in sorted(client.scan_iter(match=prefix + "*", count=1000))}


def _digest(client: Any, key: bytes) -> str:
    kind = client.type(key)
    value: Any
    if kind == b"string":
        value = client.get(key)
    elif kind == b"list":
        value = client.lrange(key, 0, -1)
    elif kind == b"set":
        value = sorted(client.smembers(key))
    elif kind == b"hash":
        value = sorted(client.hgetall(key).items())
    elif kind == b"zset":
        value = client.zrange(key, 0, -1, withscores=True)
    else:
        groups = client.execute_command("XINFO", "GROUPS", key)
        pending = [client.xpending_range(key, group, "-", "+", 1000) for group in ("readers", "idle")]
        # How long ago each pending entry was delivered moves on by itself.
        owned = [[(p["message_id"], p["consumer"], p["times_delivered"]) for p in each] for each in pending]
        value = (client.xrange(key), groups, owned)
    expiry = client.execute_command("PTTL", key)
    at = int(time.time() + expiry / 1000) // 100 if expiry > 0 else expiry
    return hashlib.sha256(repr((kind, value, at)).encode()).hexdigest()
