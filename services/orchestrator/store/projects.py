"""Projects in Redis."""

from __future__ import annotations

import secrets
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from redis.asyncio import Redis

from services.orchestrator.store import keys, requests
from services.orchestrator.store.listing import Entry, newest
from services.runtime.errors import Aborted, FailedPrecondition, NotFound
from services.runtime.ids import new_id
from services.runtime.redis import Script

_CREATE = Script.load(Path(__file__).with_name("create_project.lua"))
_UPDATE = Script.load(Path(__file__).with_name("update_project.lua"))
_ARCHIVE = Script.load(Path(__file__).with_name("archive_project.lua"))


@dataclass(frozen=True, slots=True)
class Project:
    """A project as stored. Times are Unix milliseconds of the Redis server's clock."""

    id: str
    display_name: str
    description: str
    environment: str
    owner: str
    archived: bool
    etag: str
    created_ms: int
    updated_ms: int


def not_found(project_id: str) -> NotFound:
    """The error for a project that is not there, or not there for the caller."""
    return NotFound(
        "PROJECT_NOT_FOUND",
        f"project {project_id} does not exist; list projects with ListProjects",
        project_id=project_id,
    )


def archived(project_id: str) -> FailedPrecondition:
    """The error for a change of an archived project."""
    return FailedPrecondition(
        "PROJECT_ARCHIVED", f"project {project_id} is archived; create another project", project_id=project_id
    )


class ProjectStore:
    """Projects, spread over `shards` shards."""

    def __init__(self, redis: Redis, shards: int) -> None:
        self._redis = redis
        self._shards = shards

    async def create(
        self, owner: str, fields: Mapping[str, str], *, request_id: str = "", fingerprint: str = ""
    ) -> Project:
        """Create a project of `display_name description environment`; a repeated request id gives the first one.

        Raises AlreadyExists if the request id was used with another fingerprint.
        """
        # The request id, where there is one, decides the shard, so that a repeat meets what the first call left.
        if request_id:
            shard = zlib.crc32(f"{owner}\0{request_id}".encode()) % self._shards
        else:
            shard = secrets.randbelow(self._shards)
        project_id = new_id(keys.PROJECT_ID, shard)
        names = [keys.project(project_id), keys.projects(shard), keys.owner_projects(shard, owner)]
        if request_id:
            names.append(keys.request(shard, "project", owner, request_id))
        flat = [text for pair in ({**fields, "owner": owner}).items() for text in pair]
        status, value = await _CREATE(
            self._redis, keys=names, args=[project_id, fingerprint, keys.REQUEST_TTL_SECONDS, *flat]
        )
        if status == b"OK":
            return _from_flat(project_id, value)
        first = value.decode()
        if status == b"REUSED":
            requests.refuse(first)
        project = await self.load(first)
        if project is None:
            raise not_found(first)
        return project

    async def load(self, project_id: str) -> Project | None:
        """Return a project, or None."""
        if keys.shard_in(keys.PROJECT_ID, project_id) is None:
            return None
        return (await self.load_many([project_id]))[0]

    async def load_many(self, project_ids: Sequence[str]) -> list[Project | None]:
        """Return projects in the order of the ids, None where there is none, in one round trip."""
        async with self._redis.pipeline(transaction=False) as pipe:
            for project_id in project_ids:
                pipe.hgetall(keys.project(project_id))
            rows: list[dict[bytes, bytes]] = await pipe.execute()
        return [_project(key, row) if row else None for key, row in zip(project_ids, rows, strict=True)]

    async def update(self, project_id: str, fields: Mapping[str, str], etag: str = "") -> Project:
        """Change fields. Raises NotFound, FailedPrecondition if archived, Aborted if `etag` is not current."""
        flat = [text for pair in fields.items() for text in pair]
        status, value = await _UPDATE(self._redis, keys=[keys.project(project_id)], args=[etag, *flat])
        if status == b"OK":
            return _from_flat(project_id, value)
        if status == b"ARCHIVED":
            raise archived(project_id)
        if status == b"CHANGED":
            raise Aborted(
                "ETAG_MISMATCH",
                f"project {project_id} has changed since etag {etag}; get it again and repeat the change",
                project_id=project_id,
                etag=value.decode(),
            )
        raise not_found(project_id)

    async def archive(self, project: Project) -> Project:
        """Archive a project; harmless when it is archived. Raises NotFound."""
        shard = keys.shard_of(project.id)
        names = [
            keys.project(project.id),
            keys.projects(shard),
            keys.owner_projects(shard, project.owner),
            keys.projects(shard, archived=True),
            keys.owner_projects(shard, project.owner, archived=True),
        ]
        status, value = await _ARCHIVE(self._redis, keys=names, args=[project.id])
        if status != b"OK":
            raise not_found(project.id)
        return _from_flat(project.id, value)

    async def list(
        self, *, owner: str | None, show_archived: bool, limit: int, after: Entry | None
    ) -> tuple[list[Entry], bool]:
        """Return a page of ids, newest first, of one owner or (None) of all."""
        states = (False, True) if show_archived else (False,)
        indexes = [
            keys.projects(shard, archived=state) if owner is None else keys.owner_projects(shard, owner, archived=state)
            for shard in range(self._shards)
            for state in states
        ]
        return await newest(self._redis, indexes, limit, after)


def _from_flat(project_id: str, flat: list[bytes]) -> Project:
    return _project(project_id, dict(zip(flat[::2], flat[1::2], strict=True)))


def _project(project_id: str, row: Mapping[bytes, Any]) -> Project:
    return Project(
        id=project_id,
        display_name=row[b"display_name"].decode(),
        description=row[b"description"].decode(),
        environment=row[b"environment"].decode(),
        owner=row[b"owner"].decode(),
        archived=row[b"archived"] == b"1",
        etag=row[b"etag"].decode(),
        created_ms=int(row[b"created_ms"]),
        updated_ms=int(row[b"updated_ms"]),
    )
