"""What is kept of actions that were judged: what people see of them, and what later questions are answered from."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from harness.approval.v1 import approval_pb2, risk_pb2
from harness.common.v1 import action_pb2
from services.approval import convert, risk
from services.approval.judge import Judgement
from services.approval.lifecycle import Outcome
from services.approval.preview import can_wait, mask, preview_of
from services.approval.quorum import DEFAULT_QUORUM
from services.approval.record import Facts
from services.runtime.redaction import redact

_GROUP_CHARS = 24

_NEVER_REMEMBERED = frozenset({risk.Level.CRITICAL, risk.Level.UNKNOWN})
# Categories of factors that have to do with credentials, where they are kept, and what they open.
_ABOUT_SECRETS = frozenset({"credential", "secret-store", "sensitive-path", "secret"})


def facts_of(
    actions: Sequence[action_pb2.Action],
    context: risk_pb2.ActionContext,
    judgement: Judgement,
    reason: str,
    *,
    ask_always: bool = False,
) -> Facts:
    """The facts of a first revision.

    Secrets are masked: the digest is of the original, and only its worker needs that. `ask_always`: a human has to be
    asked every time, whatever was decided before.

    What asks no human is stored without its preview where that can be made of what is stored (`preview.later`).
    """
    shown = mask(actions, judgement.assessment)
    body = approval_pb2.Approval(
        actions=shown.actions,
        context=convert.kept_context(context),
        reason=redact(reason),
        policy_reason=judgement.verdict.reason,
    )
    asks = judgement.verdict.outcome is Outcome.HUMAN
    if asks or not can_wait(body, actions, context):
        body.preview.CopyFrom(preview_of(actions, shown, context))
    assessment = body.assessment
    convert.put_assessment(assessment, shown.assessment, judgement.approval_type)
    return Facts(
        digest=judgement.digest,
        body=body.SerializeToString(),
        level=assessment.level,
        score=assessment.score,
        approval_type=judgement.approval_type,
        factor_ids=tuple(sorted({factor.id for factor in assessment.factors})),
        group=_group(actions, context, judgement),
        quorum=judgement.verdict.quorum or DEFAULT_QUORUM,
        use_within_ms=judgement.verdict.use_within_ms,
        policy_rule=judgement.verdict.rule,
        policy_etag=judgement.verdict.etag,
        memorable=not ask_always and _is_memorable(judgement.assessment),
    )


def _is_memorable(assessment: risk.Assessment) -> bool:
    """Whether an approval may hold for the same actions again: they are not grave, were read, and touch no secret."""
    return assessment.level not in _NEVER_REMEMBERED and not any(
        factor.category in _ABOUT_SECRETS for factor in assessment.factors
    )


def _group(actions: Sequence[action_pb2.Action], context: risk_pb2.ActionContext, judgement: Judgement) -> str:
    """The same for requests that ask for the same kind of thing: of one agent and project, with the same findings."""
    parts = (
        context.project_id,
        context.agent,
        judgement.assessment.level.name,
        judgement.approval_type,
        *sorted({action.WhichOneof("kind") or "" for action in actions}),
        *sorted({factor.id for factor in judgement.assessment.factors}),
    )
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:_GROUP_CHARS]


def too_large(facts: Facts, most: int) -> str:
    """Why the actions are more than an answer has room for; empty if they are not. `most` is in bytes."""
    size = len(facts.body)
    return f"the actions take {size} bytes; ask for at most {most}" if size > most else ""
