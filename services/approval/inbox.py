"""Lists of approvals, newest first."""

from __future__ import annotations

from collections.abc import Callable

from harness.approval.v1 import approval_pb2
from services.approval.messages import approval_message
from services.approval.record import Record
from services.approval.store.approvals import ApprovalStore, Query

# A page stops early, with a token, when it has read so many approvals that it does not show, or so many bytes: a filter
# that matches little, or approvals of large files, must not make a call long, or an answer larger than messages may be.
_MISSES_PER_CALL = 200
_BYTES_PER_PAGE = 3 * 1024 * 1024
_BATCH = 200


MAX_SIMILAR = 5
"""Earlier decisions that are shown with an approval."""


class Inbox:
    """Pages of approvals."""

    def __init__(self, store: ApprovalStore) -> None:
        self._store = store

    async def page(
        self, query: Query, *, size: int, cursor: str, also: Callable[[Record], bool] = lambda record: True
    ) -> tuple[list[approval_pb2.Approval], str]:
        """At most `size` approvals after a cursor, and the cursor of the next page (empty: this was the last).

        `also` must hold of each beside the query. A page can be shorter than `size` and still not be the last.
        """
        indexes = await self._store.smallest_indexes_for(query)

        def wanted(record: Record | None) -> bool:
            return record is not None and query.matches(record) and also(record)

        found: list[approval_pb2.Approval] = []
        missed = size_bytes = 0
        is_sparse = False
        while missed < _MISSES_PER_CALL:
            batch = _BATCH if is_sparse else min(size - len(found) + 1, _BATCH)
            ids = await self._store.page(indexes, cursor, batch)
            is_last = len(ids) < batch
            look_at = ids
            if is_sparse:
                small, _ = await self._store.load_small(ids)
                look_at = [each for each, record in zip(ids, small, strict=True) if wanted(record)]
                if len(look_at) > size - len(found) + 1:
                    look_at = look_at[: size - len(found) + 1]
                    ids, is_last = ids[: ids.index(look_at[-1]) + 1], False
            records, _ = await self._store.load_many(look_at)
            loaded = dict(zip(look_at, records, strict=True))
            before = len(found)
            for approval_id in ids:
                record = loaded.get(approval_id)
                if record is not None and wanted(record):
                    if len(found) == size:
                        return found, cursor
                    shown = approval_message(record)
                    size_bytes += shown.ByteSize()
                    if found and size_bytes > _BYTES_PER_PAGE:
                        return found, cursor
                    found.append(shown)
                cursor = self._store.cursor(approval_id)
            if is_last:
                return found, ""
            # From then on nothing is loaded whole before it is known to be wanted.
            missed += len(ids) - (len(found) - before)
            is_sparse = is_sparse or (len(found) - before) * 4 < len(ids)
        return found, cursor

    async def similar(self, record: Record) -> list[Record]:
        """What people have decided in the group of an approval, without itself: the newest requests, without bodies."""
        indexes = self._store.decided_like(record)
        if not indexes:
            return []
        ids = await self._store.page(indexes, "", MAX_SIMILAR + 1)
        found, _ = await self._store.load_small([each for each in ids if each != record.id][:MAX_SIMILAR])
        return [each for each in found if each is not None]

    async def similar_pending(self, record: Record) -> int:
        """How many of the group of an approval wait for a decision, itself among them if it does."""
        return await self._store.count_pending_like(record)
