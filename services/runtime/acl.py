"""Redis ACL rules as data: one user a service, confined to its prefix. For start-up files, `ACL SETUSER` and tests.

Key patterns do not restrict commands that take no key: SCAN, KEYS, RANDOMKEY, DBSIZE, FLUSHALL, SWAPDB and PUBSUB would
show or destroy what belongs to others. So commands are allowed one by one or by categories that have none of those.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

# Families whose every command names its keys. SORT reads keys by pattern, outside of the ACL's sight in Redis 6, and is
# in several of them; it is @dangerous, which is taken away again.
_FAMILIES = ("+@string", "+@hash", "+@list", "+@set", "+@sortedset", "+@stream", "+@transaction", "-@dangerous")
_KEYS = (
    "del", "unlink", "exists", "type", "touch", "rename", "renamenx",
    "expire", "pexpire", "expireat", "pexpireat", "ttl", "pttl", "persist",
)  # fmt: skip
_CONNECTION = ("ping", "echo", "hello", "select", "reset", "client|setname", "client|getname", "client|id")
# INFO tells whether the server keeps what it is given; TIME is the clock; WAIT counts replicas. No SCRIPT: EVAL loads.
_SERVER = ("info", "time", "wait", "eval", "evalsha")
_CHANNELS = ("publish", "subscribe", "unsubscribe", "psubscribe", "punsubscribe")
_COMMANDS = (*_KEYS, *_CONNECTION, *_SERVER, *_CHANNELS)


def acl_rule(prefix: str, password: str, *, extra: Iterable[str] = ()) -> str:
    """The rule of a service's user: `prefix:*` keys and channels, and the commands that the services use.

    Args:
        prefix: e.g. `approval`.
        password: kept as its SHA-256 only.
        extra: more commands, e.g. `restore`.
    """
    commands = (*_FAMILIES, *(f"+{command}" for command in (*_COMMANDS, *extra)))
    return _rule(password, [f"~{prefix}:*"], [f"&{prefix}:*"], commands)


def replication_rule(password: str) -> str:
    """The rule of a user that takes snapshots over the replication handshake: it sees all data and changes none."""
    commands = (*(f"+{command}" for command in (*_CONNECTION, "psync", "sync", "replconf", "info", "time")),)
    return _rule(password, [], [], commands)


def restore_rule(prefixes: Sequence[str], password: str) -> str:
    """The rule of a user that restores: it counts, removes and writes keys of these prefixes.

    It may SCAN, which shows the names of all keys; what they hold stays confined.
    """
    commands = (
        "scan", "exists", "type", "dump", "restore", "del", "unlink", "ttl", "pttl", "pexpireat", "rename",
        "strlen", "hlen", "llen", "scard", "zcard", "xlen", "dbsize", "multi", "exec", "info", "time",
    )  # fmt: skip
    return _rule(
        password,
        [f"~{prefix}:*" for prefix in prefixes],
        [],
        [f"+{command}" for command in (*_CONNECTION, *commands)],
    )


def acl_line(user: str, rule: str) -> str:
    """A line of an `aclfile`, or of `redis.conf`."""
    return f"user {user} {rule}"


def _rule(password: str, keys: Sequence[str], channels: Sequence[str], commands: Iterable[str]) -> str:
    digest = hashlib.sha256(password.encode()).hexdigest()
    # `reset` first: a rule says everything, whatever the user was before.
    return " ".join(["reset", "on", f"#{digest}", *keys, "resetchannels", *channels, "-@all", *commands])
