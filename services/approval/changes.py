"""How an approval changes: load it, choose, commit, until nobody came between."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from services.approval import journal, lifecycle
from services.approval.lifecycle import Change
from services.approval.quorum import Voter
from services.approval.record import Record
from services.approval.store import keys
from services.approval.store.approvals import ApprovalStore
from services.approval.store.events import EventLog
from services.approval.store.journal import Journal
from services.runtime.errors import Aborted, FailedPrecondition, HarnessError, NotFound, PermissionDenied
from services.runtime.ids import shard_of
from services.runtime.redaction import redact

ATTEMPTS = 20
"""Each failed one means that somebody else changed the record in between, and an approval changes a few times in its
life."""

Choose = Callable[[Record, int], Change | None]


class Changes:
    """Commits changes, has them published, and writes down what was refused."""

    def __init__(self, store: ApprovalStore, events: EventLog, notes: Journal) -> None:
        self._store = store
        self._events = events
        self._journal = notes

    async def change(self, approval_id: str, choose: Choose, by: Voter) -> Record:
        """Load, choose, commit, until nobody came between; what is out of time is expired first.

        What is refused is written to the journal: who tried what, and why not.
        """
        for _ in range(ATTEMPTS):
            record, now_ms = await self._store.load(approval_id)
            if record is None:
                raise not_found(approval_id)
            overdue = lifecycle.expire(record, now_ms)
            try:
                change = overdue or choose(record, now_ms)
            except (FailedPrecondition, NotFound, PermissionDenied) as error:
                await self._note_refusal(record, error, by)
                raise
            if change is None:
                return record
            if await self.commit([change]) and not overdue:
                return change.after
        raise busy(approval_id)

    async def _note_refusal(self, record: Record, error: HarnessError, by: Voter) -> None:
        event = journal.about(
            "REFUSED",
            record,
            actor=by.subject,
            acting=by.acting,
            error_reason=error.reason,
            reason=redact(error.message),
        )
        await self._journal.append(shard_of(record.id), event)

    async def note_forgery(self, error: HarnessError, by: Voter, *, run_id: str, step_id: str, attempt: int) -> None:
        """Write down that somebody came with a grant that is none; it names no approval that could be believed."""
        event = journal.fact(
            "REFUSED",
            actor=by.subject,
            acting=by.acting,
            run_id=run_id,
            step_id=step_id,
            attempt=attempt,
            error_reason=error.reason,
            reason=error.message,
        )
        await self._journal.append(keys.shard_for(run_id, by.subject, self._store.shards), event)

    async def commit(self, changes: Sequence[Change]) -> int:
        """Commit changes and have them published; how many were committed."""
        done = await self._store.commit(changes)
        self.kick(change.after for change, ok in zip(changes, done, strict=True) if ok and change.news)
        return sum(done)

    def kick(self, changed: Iterable[Record]) -> None:
        """Have what happened to these records published at once."""
        self._events.kick({shard_of(record.id) for record in changed})


def not_found(approval_id: str) -> NotFound:
    """The error for an approval that does not exist, or that the caller may not see: the same."""
    return NotFound(
        "APPROVAL_NOT_FOUND",
        f"there is no approval {approval_id}; list them with ListApprovals",
        approval_id=approval_id,
    )


def busy(approval_id: str) -> Aborted:
    """The error for an approval that others keep changing."""
    return Aborted("APPROVAL_BUSY", f"{approval_id} keeps changing; repeat the call", approval_id=approval_id)
