"""The one way from actions to an answer: assess, then ask the policy.

The RPCs, the gate and the command line all come through here, so the same actions get the same answer everywhere. Pure.
"""

from __future__ import annotations

import traceback
from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from harness.approval.v1 import risk_pb2
from harness.common.v1 import action_pb2
from services.approval import convert, risk
from services.approval.findings import Find, findings_of
from services.approval.policy import Policy, Question, Verdict, evaluate
from services.runtime.digest import digest_of
from services.runtime.errors import InvalidArgument

# Which type a list of actions is filed under when it has several: the one that reaches furthest.
_FURTHEST = ("git_push", "workflow_creation", "api_call", "code_execution", "file_write")

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Asked:
    """Who asks, in which project, and when (milliseconds of the Redis clock): what only policies look at."""

    project: str = ""
    requester: str = ""
    now_ms: int = 0


NOBODY = Asked()


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the detectors found and what the policy does with it. `digest` is empty for actions that have none."""

    assessment: risk.Assessment
    approval_type: str
    verdict: Verdict
    digest: str
    question: Question

    def put_assessment(self, message: risk_pb2.Assessment) -> None:
        """Writes the assessment into an empty message of the contract."""
        convert.put_assessment(message, self.assessment, self.approval_type)


def judge(
    actions: Sequence[action_pb2.Action],
    context: risk.Context,
    policy: Policy,
    *,
    require_approval: bool,
    asked: Asked = NOBODY,
    find: Find = findings_of,
) -> Judgement:
    """Judge actions that would run together, in their order. Never raises: what cannot be read is UNKNOWN.

    `find` finds out about them; `Recent.of` is as good, and quicker where the same ones come again.
    """
    parsed: list[risk.Action] = []

    def conclude(digest: str, assessment: risk.Assessment, types: frozenset[str], unread: tuple[str, ...]) -> Judgement:
        question = Question(
            level=assessment.level,
            types=types,
            unread=unread,
            require_approval=require_approval,
            score=assessment.score,
            factors=assessment.factors,
            actions=parsed,
            where=context,
            project=asked.project,
            requester=asked.requester,
            now_ms=asked.now_ms,
        )
        approval_type = next((name for name in _FURTHEST if name in types), "")
        return Judgement(assessment, approval_type, evaluate(policy, question), digest, question)

    try:
        digest = digest_of(actions)
    except InvalidArgument as error:
        return conclude("", _unreadable(str(error)), frozenset(), ())
    try:
        parsed += [convert.action_of(action, context) for action in actions]
        found = find(digest, parsed, context)
    except Exception as error:
        # A defect in a detector must neither pass the actions nor stop the others of the batch: a person looks at them.
        # Where it happened is logged, and not what was said, which may quote the actions.
        where = "".join(traceback.format_tb(error.__traceback__))
        log.error("assessment_failed", digest=digest, error=type(error).__name__, where=where)
        return conclude(digest, _unreadable("the assessment failed; the log says how"), frozenset(), ())
    return conclude(digest, found.assessment, found.types, found.unread)


def _unreadable(why: str) -> risk.Assessment:
    factor = risk.Factor(
        id="unreadable.action",
        category="unreadable",
        message=risk.redact(f"The actions could not be read: {why}"),
        weight=0,
    )
    return risk.Assessment(risk.Level.UNKNOWN, 0, (factor,))
