"""Lists of approvals, newest first."""

from __future__ import annotations

from services.approval.lifecycle import Record, State
from services.approval.store.approvals import ApprovalStore

# A page stops early, with a token, when it has read this many index entries or this many bytes: a filter that matches
# little, or approvals of large files, must not make a call long or its answer larger than a message may be.
_READS_PER_CALL = 2000
_BYTES_PER_PAGE = 3 * 1024 * 1024


class Inbox:
    """Pages of approvals."""

    def __init__(self, store: ApprovalStore) -> None:
        self._store = store

    async def page(
        self, *, size: int, cursor: str, state: State | None, requester: str | None, run_id: str
    ) -> tuple[list[Record], str]:
        """At most `size` records after a cursor, and the cursor of the next page (empty: this was the last).

        `requester` None means everybody's. A page can be shorter than `size` and still not be the last.
        """
        indexes = self._store.indexes_for(state=state, requester=requester, run_id=run_id)
        found: list[Record] = []
        read = size_bytes = 0
        while read < _READS_PER_CALL:
            batch = min(size - len(found) + 1, 200)
            ids = await self._store.page(indexes, cursor, batch)
            records, _ = await self._store.load_many(ids)
            read += len(ids)
            for approval_id, record in zip(ids, records, strict=True):
                wanted = (
                    record is not None
                    and (state is None or record.state is state)
                    and (requester is None or record.requester == requester)
                )
                if record is not None and wanted:
                    size_bytes += len(record.body)
                    if len(found) == size or (found and size_bytes > _BYTES_PER_PAGE):
                        return found, cursor
                    found.append(record)
                cursor = self._store.cursor(approval_id)
            if len(ids) < batch:
                return found, ""
        return found, cursor
