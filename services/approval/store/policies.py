"""Saved policies in Redis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from redis.asyncio import Redis

from services.approval.store import keys
from services.runtime.redis import Script

_SAVE = Script.load(Path(__file__).parent / "save_policy.lua")

VERSIONS_KEPT = 1000


@dataclass(frozen=True, slots=True)
class Stamp:
    """Which save a policy is from: two with the same stamp are the same policy."""

    version: int
    updated_ms: int


@dataclass(frozen=True, slots=True)
class Saved:
    """That a policy was saved."""

    version: int
    updated_by: str
    updated_ms: int


@dataclass(frozen=True, slots=True)
class SavedPolicy(Saved):
    """A policy as somebody saved it; `body` is the serialized message, without what `Saved` has."""

    body: bytes


class PolicyChanged(Exception):
    """Somebody else saved the policy first; `version` is theirs."""

    def __init__(self, version: int) -> None:
        super().__init__(f"the policy is at version {version}")
        self.version = version


class PolicyStore:
    """One policy an environment, and its earlier versions."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def stamps(self, environments: Sequence[str]) -> tuple[list[Stamp | None], int]:
        """Which policies hold, None where the shipped default does, and the time, ms, in one round trip."""
        pipeline = self._redis.pipeline(transaction=False)
        pipeline.time()
        for environment in environments:
            pipeline.hmget(keys.policy(environment), ("version", "updated_ms"))
        (seconds, micros), *rows = await pipeline.execute()
        stamps = [None if version is None else Stamp(int(version), int(updated_ms)) for version, updated_ms in rows]
        return stamps, int(seconds) * 1000 + int(micros) // 1000

    async def load(self, environment: str) -> SavedPolicy | None:
        """The saved policy that holds, None where the shipped default does."""
        fields: Any = await self._redis.hgetall(keys.policy(environment))
        if not fields:
            return None
        return SavedPolicy(
            version=int(fields[b"version"]),
            updated_by=fields[b"updated_by"].decode(),
            updated_ms=int(fields[b"updated_ms"]),
            body=fields[b"body"],
        )

    async def load_version(self, environment: str, version: int) -> SavedPolicy | None:
        """A version; None if it was never saved, or is no longer kept."""
        pipeline = self._redis.pipeline(transaction=False)
        pipeline.xrange(keys.policy_versions(environment), f"{version}-0", f"{version}-0")
        pipeline.hget(keys.policy_bodies(environment), str(version))
        entries, body = await pipeline.execute()
        if not entries or body is None:
            return None
        saved = _saved(entries[0])
        return SavedPolicy(saved.version, saved.updated_by, saved.updated_ms, body)

    async def versions(self, environment: str, before: int, limit: int) -> list[Saved]:
        """The saves before a version (0: all), newest first, at most `limit`."""
        end = f"({before}-0" if before else "+"
        entries: Any = await self._redis.xrevrange(keys.policy_versions(environment), end, "-", count=limit)
        return [_saved(entry) for entry in entries]

    async def save(
        self, environment: str, body: bytes, by: str, seen_version: int | None, event: tuple[bytes, bytes, bytes]
    ) -> SavedPolicy:
        """Replace a policy; `event` is the journal's entry: what stands around the new version and the one before.

        Raises PolicyChanged if `seen_version` is given and no longer the version (0: not saved yet).
        """
        seen = "" if seen_version is None else seen_version
        touched = [keys.policy(environment), keys.policy_versions(environment), keys.policy_bodies(environment)]
        touched.append(keys.journal(keys.POLICIES_SHARD))
        done, version, *rest = await _SAVE(self._redis, touched, [seen, body, by, VERSIONS_KEPT, *event])
        if not done:
            raise PolicyChanged(version)
        return SavedPolicy(version, by, rest[0], body)


def _saved(entry: tuple[bytes, dict[bytes, bytes]]) -> Saved:
    entry_id, fields = entry
    return Saved(int(entry_id.partition(b"-")[0]), fields[b"by"].decode(), int(fields[b"ms"]))
