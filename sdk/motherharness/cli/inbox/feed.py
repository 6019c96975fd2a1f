"""What waits for a decision, kept up to date: read once, then changed by what WatchApprovals says happens."""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable

import grpc

from harness.approval.v1 import approval_pb2, audit_pb2
from motherharness.client import Client
from motherharness.errors import HarnessError
from motherharness.transport import backoff

MOST = 2000
"""How many requests are kept, the newest: nobody looks through more, and filters of the command make them fewer."""
GATHER_SECONDS = 0.2
"""How long what happens is gathered before it is read: a bulk decision is one change, not a hundred."""
MOST_RUNS = 8
"""Of more runs than these at a time, everything is read again."""
REREAD_SECONDS = 60.0
"""How often everything is read again, for what no event tells: delegations that end, events that one may not see."""
_CLOSED_KEPT = 10_000
_AUTHORITY = frozenset({audit_pb2.AUDIT_EVENT_TYPE_DELEGATION_CREATED, audit_pb2.AUDIT_EVENT_TYPE_DELEGATION_REVOKED})


class Feed:
    """What waits, by id; `run` keeps it so.

    Args:
        everything: also what others are to decide.
        project: only of this project; empty means all.

    Attributes:
        approvals: what waits.
        trouble: why it may be out of date, in words; empty while it is live.
        more: whether more waits than is kept.
    """

    def __init__(self, client: Client, *, everything: bool = False, project: str = "") -> None:
        self._client = client
        self.everything = everything
        self._project = project
        self.approvals: dict[str, approval_pb2.Approval] = {}
        self.trouble = "reading"
        self.more = False
        self._closed: OrderedDict[str, None] = OrderedDict()
        self._touched: set[str] = set()
        self._news = asyncio.Event()

    async def load(self) -> None:
        """Read all of it again. Raises HarnessError."""
        found: dict[str, approval_pb2.Approval] = {}
        more = False
        async for approval in self._list(""):
            if len(found) == MOST:
                more = True
                break
            found[approval.id] = approval
        self.approvals = {each.id: self._newer(each) for each in found.values() if each.id not in self._closed}
        self.more, self.trouble = more, ""

    def touch(self, run_id: str) -> None:
        """Have what waits of a run read again soon; everything, if it is empty."""
        self._touched.add(run_id)
        self._news.set()

    def drop(self, approval_id: str) -> None:
        """Forget what waits no more; it does not come back from an answer that was on its way."""
        self.approvals.pop(approval_id, None)
        self._closed[approval_id] = None
        if len(self._closed) > _CLOSED_KEPT:
            self._closed.popitem(last=False)

    async def run(self, changed: Callable[[], None]) -> None:
        """Keep it up to date until cancelled, through restarts of the service; calls `changed` after each change."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._watch(changed))
            group.create_task(self._reread(changed))

    async def _watch(self, changed: Callable[[], None]) -> None:
        """Follow what happens, from the newest on; after each break read everything, and go on after the last event."""
        sequence, failures = -1, 0
        while True:
            try:
                if sequence < 0:
                    sequence = await self._client.latest_sequence()
                # After the sequence is known: what happens meanwhile is told again.
                await self.load()
                changed()
                async for told in self._client.watch_approvals(sequence):
                    sequence, failures = told.sequence, 0
                    if self._happened(told.event):
                        changed()
            except HarnessError as error:
                if error.code is grpc.StatusCode.OUT_OF_RANGE:
                    sequence = -1
                elif error.reason != "DRAINING":
                    self.trouble = error.message or error.code.name
                    changed()
            failures += 1
            await asyncio.sleep(backoff(failures))

    def _happened(self, event: audit_pb2.AuditEvent) -> bool:
        """Take note of an event; whether what waits has changed by it alone."""
        if event.type in _AUTHORITY:
            self.touch("")
        elif event.state == "pending":
            self.touch(event.run_id)
        elif event.state:
            waited = event.approval_id in self.approvals
            self.drop(event.approval_id)
            return waited
        return False

    async def _reread(self, changed: Callable[[], None]) -> None:
        """Read what was touched, and everything now and then."""
        while True:
            try:
                async with asyncio.timeout(REREAD_SECONDS):
                    await self._news.wait()
            except TimeoutError:
                self._touched.add("")
            await asyncio.sleep(GATHER_SECONDS)
            self._news.clear()
            runs, self._touched = self._touched, set()
            try:
                if "" in runs or len(runs) > MOST_RUNS:
                    await self.load()
                else:
                    for run_id in runs:
                        await self._load_run(run_id)
            except HarnessError as error:
                self.trouble = error.message or error.code.name
                self._touched |= runs
                self._news.set()
                await asyncio.sleep(backoff(4))
            changed()

    async def _load_run(self, run_id: str) -> None:
        found = {approval.id: approval async for approval in self._list(run_id)}
        gone = [each.id for each in self.approvals.values() if each.context.run_id == run_id and each.id not in found]
        for approval_id in gone:
            del self.approvals[approval_id]
        for approval in found.values():
            if approval.id not in self._closed:
                self.approvals[approval.id] = self._newer(approval)

    def _newer(self, approval: approval_pb2.Approval) -> approval_pb2.Approval:
        """An approval as it was read, or as it is known if that is a later edition: answers can overtake each other."""
        known = self.approvals.get(approval.id)
        return known if known is not None and known.revision > approval.revision else approval

    def _list(self, run_id: str) -> AsyncIterator[approval_pb2.Approval]:
        return self._client.list_approvals(
            state=approval_pb2.APPROVAL_STATE_PENDING,
            run_id=run_id,
            project_id=self._project,
            mine_to_decide=not self.everything,
        )
