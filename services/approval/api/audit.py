"""AuditService."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import grpc
from google.protobuf.json_format import ParseDict

from harness.approval.v1 import audit_pb2, audit_pb2_grpc
from services.approval.audit.trail import Found, Position, Query, Report, Trail, known_checkpoints
from services.approval.messages import timestamp
from services.runtime.errors import InvalidArgument
from services.runtime.paging import page_for

Context = grpc.aio.ServicerContext[Any, Any]


class AuditServicer(audit_pb2_grpc.AuditServiceServicer):
    """Translates between the contract and the trail."""

    def __init__(self, trail: Trail) -> None:
        self._trail = trail

    async def ListAuditEvents(
        self, request: audit_pb2.ListAuditEventsRequest, context: Context
    ) -> audit_pb2.ListAuditEventsResponse:
        """Return a page of the trail."""
        page = page_for(request)
        query = Query(
            approval_id=request.approval_id,
            actor=request.actor,
            type=audit_pb2.AuditEventType.Name(request.type) if request.type else "",
            project_id=request.project_id,
            run_id=request.run_id,
            start_ms=request.start_time.ToMilliseconds(),
            end_ms=request.end_time.ToMilliseconds(),
        )
        after = Position.parse(page.cursor) if page.cursor else None
        found, last = await self._trail.find(query, after, page.size)
        return audit_pb2.ListAuditEventsResponse(
            records=[_record_message(record) for record in found],
            next_page_token=page.next_token(str(last) if last else None),
        )

    async def VerifyAudit(
        self, request: audit_pb2.VerifyAuditRequest, context: Context
    ) -> AsyncIterator[audit_pb2.VerifyAuditResponse]:
        """Walk every chain, and say what was found."""
        try:
            known = known_checkpoints(request.known_checkpoints)
        except ValueError as error:
            field = f"known_checkpoints[{error}]"
            raise InvalidArgument(
                "CHECKPOINT_INVALID",
                f"{field} is no checkpoint; give lines as an export or an earlier answer has them",
                violations=[(field, "not the line of a checkpoint")],
            ) from None
        async for report in self._trail.verify(known):
            yield _report_message(report)

    async def ExportAudit(
        self, request: audit_pb2.ExportAuditRequest, context: Context
    ) -> AsyncIterator[audit_pb2.ExportAuditResponse]:
        """Return the whole trail as lines."""
        async for data in self._trail.export():
            yield audit_pb2.ExportAuditResponse(data=data)


def _record_message(found: Found) -> audit_pb2.AuditRecord:
    # A release that writes more must not stop one that reads less.
    event = ParseDict(found.event, audit_pb2.AuditEvent(), ignore_unknown_fields=True)
    return audit_pb2.AuditRecord(
        shard=found.position.shard,
        sequence=found.position.sequence,
        time=timestamp(found.position.time_ms),
        event=event,
        hash=found.hash,
    )


def _report_message(report: Report) -> audit_pb2.VerifyAuditResponse:
    message = audit_pb2.VerifyAuditResponse(
        shard=report.shard,
        done=report.done,
        first_sequence=report.first,
        last_sequence=report.last,
        records_checked=report.records,
        checkpoints_verified=report.checkpoints,
        signed_through=report.signed,
        unsealed=report.unsealed,
        known_met=report.known_met,
        known_removed=report.known_removed,
        checkpoint=report.checkpoint_line.decode(),
    )
    if report.problem is not None:
        message.problem.reason = report.problem.reason
        message.problem.sequence = report.problem.sequence
        message.problem.message = report.problem.message
    return message
