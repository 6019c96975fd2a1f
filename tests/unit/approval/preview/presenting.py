"""Actions, and what people see of them."""

from collections.abc import Sequence
from dataclasses import dataclass

from harness.approval.v1 import approval_pb2, risk_pb2
from harness.common.v1 import action_pb2
from services.approval import risk
from services.approval.preview import mask, preview_of


@dataclass(frozen=True)
class Presented:
    """Masked actions, the assessment with the places in those, and the preview."""

    actions: list[action_pb2.Action]
    assessment: risk.Assessment
    preview: approval_pb2.Preview


def present(actions: Sequence[action_pb2.Action], context: risk_pb2.ActionContext, found: risk.Assessment) -> Presented:
    """What people see of actions that were assessed in a context."""
    shown = mask(actions, found)
    return Presented(shown.actions, shown.assessment, preview_of(actions, shown, context))
