"""Redis connections that say plainly what happened, scripts, and what the server could lose.

A command is **never repeated** once it may have reached the server: a lost answer does not mean a lost write, and only
the caller knows whether a second run is harmless. What is repeated, with backoff, is connecting. A command cut off
half-way surfaces as UNAVAILABLE with RetryInfo.
"""

from __future__ import annotations

import asyncio
import hashlib
import socket
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hiredis
import redis.asyncio as aioredis
import structlog
from redis.asyncio.connection import (
    BlockingConnectionPool,
    Connection,
    SSLConnection,
    UnixDomainSocketConnection,
    parse_url,
)
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialWithJitterBackoff, NoBackoff
from redis.exceptions import AuthenticationError, NoScriptError, RedisError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from services.runtime.errors import ConfigurationError

Value = bytes | str | int | float
MIN_VERSION = (6, 2)
_CONNECT_ATTEMPTS = 4
# Seconds idle, between probes; probes until a peer that vanished without a word counts as gone (30 + 3 * 10 s).
_KEEPALIVE = {"TCP_KEEPIDLE": 30, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 3}

log = structlog.get_logger(__name__)


class _PatientConnect:
    """Repeats connecting, and nothing else, with backoff and jitter (50 ms doubling to 1 s)."""

    async def connect(self) -> None:
        attempt = 0
        backoff = ExponentialWithJitterBackoff(base=0.05, cap=1.0)
        while True:
            try:
                return await super().connect()  # type: ignore[misc,no-any-return]
            except AuthenticationError:
                raise
            except (RedisConnectionError, RedisTimeoutError):
                attempt += 1
                if attempt >= _CONNECT_ATTEMPTS:
                    raise
                await asyncio.sleep(backoff.compute(attempt))


class _QuickPack:
    """Packs commands in C, which takes a tenth of the time: scripts have dozens of arguments."""

    def pack_command(self, *args: Any) -> list[bytes]:
        name = args[0]
        if isinstance(name, str) and " " not in name:
            try:
                return [hiredis.pack_command(args)]
            except TypeError:
                pass  # a type that it does not take, or that nothing takes: the library says which
        return super().pack_command(*args)  # type: ignore[misc,no-any-return]


class _Tcp(_PatientConnect, _QuickPack, Connection):
    pass


class _Tls(_PatientConnect, _QuickPack, SSLConnection):
    pass


class _Unix(_PatientConnect, _QuickPack, UnixDomainSocketConnection):
    pass


def connect(
    url: str,
    *,
    client_name: str,
    blocking: bool = False,
    max_connections: int = 64,
    timeout: float = 5.0,
) -> aioredis.Redis:
    """A client with its own pool; connects on first use. Close it with `aclose()`.

    Args:
        url: `redis://user:password@host:port/db`, `rediss://...` (TLS) or `unix://user:password@/path?db=0`.
        client_name: shown in CLIENT LIST.
        blocking: for XREAD BLOCK, BLPOP, pub/sub: answers may take for ever, so there is no read timeout. Such a
            command holds its connection: keep it off the client that serves everything else.
        max_connections: commands beyond it wait up to `timeout` for a free connection.
        timeout: seconds to connect, to wait for an answer (unless blocking), and for a free connection.

    Values are bytes (`decode_responses=False`), answers are RESP2.

    Raises:
        ConfigurationError: the URL cannot be read.
    """
    try:
        options = dict(parse_url(url))
    except (ValueError, TypeError) as exc:
        raise ConfigurationError(
            "HARNESS_REDIS_URL must look like redis://user:password@host:6379/0, rediss://... or unix://user:password@/path"
        ) from exc
    scheme = options.pop("connection_class", Connection)
    if "path" in options:
        kind: type[Connection] | type[UnixDomainSocketConnection] = _Unix
    else:
        kind = _Tls if scheme is SSLConnection else _Tcp
        options["socket_keepalive"] = True
        options["socket_keepalive_options"] = {
            getattr(socket, name): value for name, value in _KEEPALIVE.items() if hasattr(socket, name)
        }
    settings: dict[str, Any] = {
        "client_name": client_name,
        "socket_connect_timeout": timeout,
        "socket_timeout": None if blocking else timeout,
        "retry": Retry(NoBackoff(), 0),
        "driver_info": None,
        "protocol": 2,
        **options,
    }
    pool = BlockingConnectionPool(
        **settings,
        connection_class=kind,
        max_connections=max_connections,
        timeout=timeout,
    )
    return aioredis.Redis.from_pool(pool)


async def _command(client: aioredis.Redis, *words: Value) -> Any:
    return await client.execute_command(*words)  # type: ignore[no-untyped-call]


def readiness(client: aioredis.Redis, timeout: float = 2.0) -> Callable[[], Awaitable[None]]:
    """A check for `serve(ready=...)`: raises unless the server answers a PING within `timeout` seconds."""

    async def ping() -> None:
        async with asyncio.timeout(timeout):
            await _command(client, "PING")

    return ping


class Script:
    """A Lua script, sent by its hash; the text goes along only when the server does not know it.

    A script that changes something can have run although its answer was lost: make a second run harmless (compare a
    version, keep the first result), and take the time from `TIME` in the script.
    """

    def __init__(self, text: str, name: str = "inline") -> None:
        self.name = name
        self.text = text
        self.sha = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()

    @classmethod
    def load(cls, path: str | Path) -> Script:
        """Read a `.lua` file. Raises OSError when it is missing."""
        path = Path(path)
        return cls(path.read_text(encoding="utf-8"), path.stem)

    async def __call__(
        self, client: aioredis.Redis, keys: Sequence[str | bytes] = (), args: Sequence[Value] = ()
    ) -> Any:
        """Run it and return its answer. Raises redis exceptions."""
        try:
            return await _command(client, "EVALSHA", self.sha, len(keys), *keys, *args)
        except NoScriptError:
            return await _command(client, "EVAL", self.text, len(keys), *keys, *args)

    def __repr__(self) -> str:
        return f"Script({self.name})"


@dataclass(frozen=True)
class ScriptCall:
    """One run of a script in a batch."""

    script: Script
    keys: Sequence[str | bytes] = ()
    args: Sequence[Value] = ()


async def run_scripts(client: aioredis.Redis, calls: Sequence[ScriptCall]) -> list[Any]:
    """Run independent scripts in one round trip (a second one for those that the server does not know yet).

    Answers come in the order of the calls; a failed call's place holds its exception, so that one does not hide the
    others. Nothing is atomic across calls.

    Raises:
        redis.exceptions.ConnectionError, TimeoutError: the whole batch may or may not have run.
    """
    answers = await _pipeline(client, [("EVALSHA", call.script.sha, call) for call in calls])
    unknown = [index for index, answer in enumerate(answers) if isinstance(answer, NoScriptError)]
    if unknown:
        again = await _pipeline(client, [("EVAL", calls[index].script.text, calls[index]) for index in unknown])
        for index, answer in zip(unknown, again, strict=True):
            answers[index] = answer
    return answers


async def _pipeline(client: aioredis.Redis, commands: Sequence[tuple[str, str, ScriptCall]]) -> list[Any]:
    if not commands:
        return []
    pipe = client.pipeline(transaction=False)
    for verb, body, call in commands:
        pipe.execute_command(verb, body, len(call.keys), *call.keys, *call.args)
    answers: list[Any] = await pipe.execute(raise_on_error=False)
    return answers


@dataclass(frozen=True)
class Durability:
    """What a server keeps. `risks` says, one sentence each, what it could lose; empty when it keeps everything."""

    version: str
    appendonly: bool
    maxmemory: int
    eviction_policy: str
    risks: tuple[str, ...]


async def check_durability(client: aioredis.Redis, require: bool) -> Durability:
    """Look at the server that holds the state, and say loudly what it could lose.

    Uses INFO only (`+info`), no CONFIG. With an append-only file the loss window is `appendfsync`'s: one second by
    default, none with `always`.

    Args:
        require: refuse instead of warn (HARNESS_REQUIRE_DURABLE_REDIS).

    Raises:
        ConfigurationError: the server is older than 6.2, or `require` is set and something could be lost.
        redis.exceptions.RedisError: it does not answer.
    """
    facts: dict[str, Any] = {}
    for section in ("server", "persistence", "memory"):
        facts |= await client.info(section)
    version = str(facts.get("valkey_version") or facts.get("redis_version", "0"))
    numbers = tuple(int(part) for part in str(facts.get("redis_version", "0")).split(".")[:2] if part.isdigit())
    if numbers < MIN_VERSION:
        raise ConfigurationError(f"Redis {version} is too old; use Redis 6.2 or newer, or Valkey 7.2 or newer")
    policy, limit = str(facts.get("maxmemory_policy", "")), int(facts.get("maxmemory", 0))
    appendonly = bool(int(facts.get("aof_enabled", 0)))
    risks = []
    if not appendonly:
        risks.append(
            "appendonly is off: a crash of the server loses every change since its last snapshot; set appendonly yes"
        )
    elif facts.get("aof_last_write_status") != "ok":
        risks.append("the append-only file cannot be written: a crash loses what it misses; look at the server's log")
    if policy != "noeviction":
        when = "as soon as maxmemory is set" if limit == 0 else "when memory is full"
        risks.append(f"maxmemory-policy is {policy}: keys vanish {when}; set maxmemory-policy noeviction")
    found = Durability(version, appendonly, limit, policy, tuple(risks))
    if risks and require:
        raise ConfigurationError(
            "this Redis can lose data and HARNESS_REQUIRE_DURABLE_REDIS is set: " + "; ".join(risks)
        )
    for risk in risks:
        log.warning("redis_not_durable", risk=risk)
    return found


async def server_time(client: aioredis.Redis) -> float:
    """The Redis server's clock in seconds since the epoch: the only clock that decides anything."""
    seconds, microseconds = await client.time()
    return float(seconds) + float(microseconds) / 1e6


async def wait_until_reachable(client: aioredis.Redis, *, within: float = 30.0) -> None:
    """Wait for a server that is still starting; a wrong password fails at once.

    Raises:
        ConfigurationError: it refused the credentials, or did not answer within `within` seconds.
    """
    deadline = asyncio.get_running_loop().time() + within
    while True:
        try:
            await _command(client, "PING")
            return
        except AuthenticationError as exc:
            raise ConfigurationError(
                f"Redis refused the credentials in HARNESS_REDIS_URL ({exc}); check the user and its ACL"
            ) from exc
        except RedisError as exc:
            if asyncio.get_running_loop().time() >= deadline:
                raise ConfigurationError(
                    f"Redis at HARNESS_REDIS_URL did not answer within {within:g} s: {exc}"
                ) from exc
            log.warning("redis_unreachable", error=str(exc))
            await asyncio.sleep(0.5)
