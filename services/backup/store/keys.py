"""Every key of the backup service, in its own Redis.

All share one hash slot, so that they can change together.
The catalog is an index of the archives: lost, it is rebuilt from them at the next start (restores and failed backups
excepted).

| key | type | holds | lives |
|---|---|---|---|
| `backup:{b}:backup:<id>` | string | serialised `harness.backup.v1.Backup` | until the backup is deleted or pruned |
| `backup:{b}:backups` | zset, all scores 0 | ids of all backups; ids sort by creation | with the backups |
| `backup:{b}:backups:<target>` | zset, all scores 0 | ids of a target's backups | with the backups |
| `backup:{b}:restore:<id>` | string | serialised `harness.backup.v1.Restore` | the newest 1000 restores |
| `backup:{b}:restores` | zset, all scores 0 | ids of all restores | the newest 1000 |
| `backup:{b}:restores:<target>` | zset, all scores 0 | ids of a target's restores | the newest 1000 |
| `backup:{b}:request:<hash>` | string | `<id> <fingerprint>` of an idempotent request | one day |
"""

from __future__ import annotations

import hashlib

_ROOT = "backup:{b}"


def record(kind: str, resource_id: str) -> str:
    """A resource; `kind` is `backup` or `restore`."""
    return f"{_ROOT}:{kind}:{resource_id}"


def index(kind: str, target: str = "") -> str:
    """The ids of all resources of a kind, or of those of one target."""
    return f"{_ROOT}:{kind}s:{target}" if target else f"{_ROOT}:{kind}s"


def request(caller: str, method: str, request_id: str) -> str:
    """What a caller's request id has led to."""
    return f"{_ROOT}:request:" + hashlib.sha256("\0".join((caller, method, request_id)).encode()).hexdigest()
