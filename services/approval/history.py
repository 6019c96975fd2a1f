"""The newest requests that were made in an environment: what a draft of a policy is tried on."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

from harness.approval.v1 import approval_pb2
from services.approval import convert
from services.approval.record import Record
from services.approval.store.approvals import ApprovalStore, Query

# Reading ends here, whatever was asked for: bodies can hold files, and other environments' requests count for nothing.
_MAX_BYTES = 64 * 1024 * 1024
_MAX_READ = 10_000
_BATCH = 25


@dataclass(frozen=True, slots=True)
class Past:
    """A stored request, and what its body says: secrets masked."""

    record: Record
    body: approval_pb2.Approval


class History:
    """Reads stored requests, newest first. `environment` is that of requests that name none."""

    def __init__(self, store: ApprovalStore, environment: str) -> None:
        self._store = store
        self._environment = environment

    async def newest(self, environment: str, limit: int) -> AsyncIterator[Past]:
        """At most `limit` requests of an environment."""
        indexes = self._store.indexes_for(Query())
        found = read = size = 0
        after = ""
        while found < limit and read < _MAX_READ and size < _MAX_BYTES:
            ids = await self._store.page(indexes, after, _BATCH)
            records, _ = await self._store.load_many(ids)
            for record in records:
                if record is None:
                    continue
                size += len(record.facts.body)
                body = approval_pb2.Approval.FromString(record.facts.body)
                if convert.environment_name(body.context.environment, self._environment) == environment:
                    yield Past(record, body)
                    found += 1
                    if found == limit:
                        return
            if len(ids) < _BATCH:
                return
            read += len(ids)
            after = self._store.cursor(ids[-1])
