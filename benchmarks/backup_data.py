"""The dataset of the backup benchmark: keys of every type, as a server of the suite might have them.

Of the keys 60 % are strings of 100 to 300 bytes, 16 % hashes, 8 % lists, 7 % sorted sets, 7 % sets and 2 % streams with
groups and pending entries; 15 % expire. They lie 60/30/10 under three prefixes; five more are large.
"""

from __future__ import annotations

import random
import socket
import time
from collections.abc import Iterator
from typing import Any, Final

import hiredis

PREFIXES: Final = ("orchestrator:", "approval:", "other:")
_BATCH: Final = 2000


def commands(keys: int, seed: int = 11) -> Iterator[tuple[Any, ...]]:
    """The commands that write `keys` keys and five large ones."""
    rng = random.Random(seed)
    far = int(time.time() * 1000) + 30 * 86_400_000
    for i in range(keys):
        share = i % 10
        name = f"{PREFIXES[0 if share < 6 else 1 if share < 9 else 2]}{{s{i % 16:02d}}}:item:{i}"
        kind = rng.random()
        if kind < 0.60:
            yield "SET", name, rng.randbytes(rng.randrange(50, 150)).hex()
        elif kind < 0.76:
            fields = [part for j in range(rng.randrange(3, 12)) for part in (f"field{j}", str(rng.randrange(10**9)))]
            yield "HSET", name, *fields
        elif kind < 0.84:
            yield "RPUSH", name, *[rng.randbytes(10).hex() for _ in range(rng.randrange(2, 16))]
        elif kind < 0.91:
            scored = [part for j in range(rng.randrange(3, 12)) for part in (f"{rng.gauss(0, 1e3):.3f}", f"member{j}")]
            yield "ZADD", name, *scored
        elif kind < 0.98:
            yield "SADD", name, *[str(rng.randrange(10**6)) for _ in range(rng.randrange(2, 16))]
        else:
            for j in range(6):
                yield "XADD", name, f"{1000 + j}-0", "field", rng.randbytes(10).hex(), "n", str(j)
            yield "XGROUP", "CREATE", name, "readers", "0"
            yield "XREADGROUP", "GROUP", "readers", "alice", "COUNT", "3", "STREAMS", name, ">"
        if i % 20 < 3:
            yield "PEXPIREAT", name, str(far + i)
    big = f"{PREFIXES[0]}big:"
    scale = min(1.0, keys / 100_000)
    yield "SET", f"{big}string", rng.randbytes(int(20e6 * scale))
    for name, command, count in (("hash", "HSET", 100_000), ("list", "RPUSH", 200_000), ("set", "SADD", 100_000)):
        for begin in range(0, int(count * scale), 1000):
            items = [f"{name}-item-{begin + j}" for j in range(1000)]
            yield command, big + name, *([part for item in items for part in (item, item)] if name == "hash" else items)
    for begin in range(0, int(100_000 * scale), 1000):
        scored = [part for j in range(1000) for part in (str((begin + j) / 7), f"member-{begin + j}")]
        yield "ZADD", f"{big}zset", *scored


def fill(port: int, keys: int) -> None:
    """Write the dataset to a server on this machine. RuntimeError for an error reply."""
    with socket.create_connection(("127.0.0.1", port)) as sock:
        reader = hiredis.Reader()
        batch: list[bytes] = []

        def send() -> None:
            sock.sendall(b"".join(batch))
            left = len(batch)
            while left:
                reply = reader.gets()
                if reply is False:
                    reader.feed(sock.recv(1 << 20))
                    continue
                if isinstance(reply, hiredis.ReplyError):
                    raise RuntimeError(str(reply))
                left -= 1
            batch.clear()

        for command in commands(keys):
            batch.append(hiredis.pack_command(command))
            if len(batch) >= _BATCH:
                send()
        send()
