"""Previews that are made when somebody looks: nearly all that a policy passes is never looked at.

That holds only for what is stored as it was asked for. A preview shows what a secret was in the middle of, and files
that are not kept, so where anything was masked or left out it is made at once, of the original.
"""

from __future__ import annotations

from collections.abc import Sequence

from harness.approval.v1 import approval_pb2, risk_pb2
from harness.common.v1 import action_pb2
from services.approval import convert
from services.approval.preview.build import Shown, preview_of

MAX_BYTES = 4096
"""Of actions whose preview can wait: a page of a list may have to make two hundred."""


def can_wait(
    body: approval_pb2.Approval, actions: Sequence[action_pb2.Action], context: risk_pb2.ActionContext
) -> bool:
    """Whether the preview of actions can be made of what is stored of them, and quickly."""
    return (
        body.ByteSize() <= MAX_BYTES
        and body.context == context
        and all(shown == action for shown, action in zip(body.actions, actions, strict=True))
    )


def add_preview(body: approval_pb2.Approval) -> None:
    """Give a stored body its preview if it was stored without: the same that it would have been given then."""
    if not body.HasField("preview"):
        shown = Shown(list(body.actions), convert.assessment_of(body.assessment))
        body.preview.CopyFrom(preview_of(shown.actions, shown, body.context))
