"""RememberedDecisionService."""

from __future__ import annotations

from typing import Any

import grpc

from harness.approval.v1 import remembered_pb2, remembered_pb2_grpc
from services.approval import journal
from services.approval.api.callers import voter_of
from services.approval.messages import remembered_message
from services.approval.store.remembered import RememberedStore
from services.runtime.context import current_caller
from services.runtime.errors import NotFound
from services.runtime.paging import page_for

Context = grpc.aio.ServicerContext[Any, Any]


class RememberedDecisionServicer(remembered_pb2_grpc.RememberedDecisionServiceServicer):
    """Lists and forgets remembered decisions."""

    def __init__(self, store: RememberedStore) -> None:
        self._store = store

    async def ListRememberedDecisions(
        self, request: remembered_pb2.ListRememberedDecisionsRequest, context: Context
    ) -> remembered_pb2.ListRememberedDecisionsResponse:
        """Return a page of a project's."""
        page = page_for(request)
        start = int(page.cursor or 0)
        found = await self._store.page(request.project_id, start, page.size + 1)
        more = str(start + page.size) if len(found) > page.size else ""
        return remembered_pb2.ListRememberedDecisionsResponse(
            decisions=[remembered_message(one, self._store.id_of(one)) for one in found[: page.size]],
            next_page_token=page.next_token(more),
        )

    async def ForgetDecision(
        self, request: remembered_pb2.ForgetDecisionRequest, context: Context
    ) -> remembered_pb2.ForgetDecisionResponse:
        """End one."""
        found = await self._store.get(request.remembered_id)
        if found is None:
            raise NotFound(
                "REMEMBERED_DECISION_NOT_FOUND",
                f"nothing that holds is remembered as {request.remembered_id}; list with ListRememberedDecisions",
                remembered_id=request.remembered_id,
            )
        by = voter_of(current_caller())
        event = journal.fact(
            "DECISION_FORGOTTEN",
            actor=by.subject,
            acting=by.acting,
            approval_id=found.approval_id,
            project_id=found.project_id,
            digest=found.digest,
            subject_name=request.remembered_id,
        )
        await self._store.forget(found, event)
        return remembered_pb2.ForgetDecisionResponse()
