"""The desk: where people decide about approvals, edit them, talk about them and take them back."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import structlog

from harness.approval.v1 import approval_pb2
from harness.common.v1 import action_pb2
from services.approval import convert, journal, lifecycle
from services.approval.changes import Changes
from services.approval.delegations import Delegations
from services.approval.facts import facts_of, too_large
from services.approval.judge import Asked, judge
from services.approval.lifecycle import Change, Outcome, Times
from services.approval.policies import Policies
from services.approval.quorum import Voter
from services.approval.record import Record, State
from services.approval.remembered import DAY_MS, MAX_REMEMBER_MS, ONCE, RUN, from_decided
from services.approval.risk.rules import BUILTIN, RuleBook
from services.approval.rule_packs import condensed
from services.approval.store.approvals import ApprovalStore, Comment
from services.approval.store.remembered import RememberedStore
from services.runtime.digest import digest_of
from services.runtime.errors import FailedPrecondition, InvalidArgument, OutOfRange
from services.runtime.redaction import redact
from services.runtime.redaction.messages import redacted

MAX_COMMENTS = 200
"""Of one approval: a thread that long is a meeting."""

# What happens within a step, and not to the world: there is nothing to put in its place.
_NOT_EDITABLE = frozenset({"step_start", "step_result"})

log = structlog.get_logger(__name__)


class Desk:
    """What people do with approvals. Whoever calls has made sure that they may see the approval."""

    def __init__(
        self,
        store: ApprovalStore,
        policies: Policies,
        changes: Changes,
        delegations: Delegations,
        remembered: RememberedStore,
        *,
        times: Times,
        rules: RuleBook | None = None,
        max_body_bytes: int,
    ) -> None:
        self._store = store
        self._policies = policies
        self._changes = changes
        self._delegations = delegations
        self._remembered = remembered
        self._times = times
        self._rules = rules
        self._rule_packs = condensed(rules or BUILTIN)
        self._max_body_bytes = max_body_bytes

    async def earlier(self, record: Record, revision: int) -> bytes:
        """The body of an earlier revision of an approval. Raises OutOfRange (NO_SUCH_REVISION)."""
        body = await self._store.earlier_body(record.id, revision) if revision < record.facts.revision else None
        if body is None:
            raise OutOfRange(
                "NO_SUCH_REVISION",
                f"{record.id} has the revisions 1 to {record.facts.revision}",
                approval_id=record.id,
                revision=record.facts.revision,
            )
        return body

    async def vote(
        self,
        approval_id: str,
        own: Voter,
        *,
        approve: bool,
        reason: str,
        seen_digest: str,
        reject_code: int = 0,
        remember: int = 0,
        remember_until_ms: int = 0,
    ) -> Record:
        """Vote, as one person: with their own authority, or, where that fills no seat, with one they were given.

        Raises NotFound, InvalidArgument (REMEMBER_UNTIL_INVALID), and what `lifecycle.vote` raises.
        """
        shown = redact(reason)
        voters = await self._delegations.voters(own)
        if approve and remember > ONCE:
            remember_until_ms = await self._remember_until(remember, remember_until_ms)

        def choose(record: Record, now_ms: int) -> Change | None:
            able = [voter for voter in voters if lifecycle.can_vote(record, voter)]
            return lifecycle.vote(
                record,
                able[0] if able else own,
                approve=approve,
                reason=shown,
                now_ms=now_ms,
                times=self._times,
                reject_code=reject_code,
                seen_digest=seen_digest,
                remember=remember,
                remember_until_ms=remember_until_ms,
            )

        record = await self._changes.change(approval_id, choose, own)
        # A vote that is repeated because its answer was lost finds this done, or does it.
        if approve and (remembered := from_decided(record)) is not None:
            event = journal.about(
                "DECISION_REMEMBERED",
                record,
                actor=own.subject,
                acting=own.acting,
                subject_name=self._remembered.id_of(remembered),
                use_by_ms=remembered.until_ms,
            )
            await self._remembered.put(remembered, event)
        return record

    async def _remember_until(self, scope: int, until_ms: int) -> int:
        now_ms = await self._store.now_ms()
        if not until_ms and scope == RUN:
            return now_ms + DAY_MS
        if not now_ms < until_ms <= now_ms + MAX_REMEMBER_MS:
            raise InvalidArgument(
                "REMEMBER_UNTIL_INVALID",
                "remember_until must be in the future, and at most 30 days away",
                violations=[("remember_until", "out of range")],
            )
        return until_ms

    async def can_vote(self, record: Record, own: Voter) -> bool:
        """Whether somebody could vote on an approval now, with their own authority or one they were given."""
        return any(lifecycle.can_vote(record, voter) for voter in await self._delegations.voters(own))

    async def voters(self, own: Voter) -> list[Voter]:
        """Somebody's own authority, and what others have given them."""
        return await self._delegations.voters(own)

    async def break_glass(self, approval_id: str, voter: Voter, *, reason: str, seen_digest: str) -> Record:
        """Approve alone. Raises NotFound, and what `lifecycle.break_glass` raises."""
        shown = redact(reason)
        record = await self._changes.change(
            approval_id,
            lambda record, now_ms: lifecycle.break_glass(
                record, voter, reason=shown, seen_digest=seen_digest, now_ms=now_ms
            ),
            voter,
        )
        log.warning("glass_broken", approval_id=approval_id, by=voter.subject, run_id=record.run_id, reason=shown)
        return record

    async def review_glass(self, approval_id: str, voter: Voter, *, justified: bool, review: str) -> Record:
        """Review a broken glass. Raises NotFound, and what `lifecycle.review_glass` raises."""
        shown = redact(review)
        return await self._changes.change(
            approval_id,
            lambda record, now_ms: lifecycle.review_glass(
                record, voter, justified=justified, review=shown, now_ms=now_ms
            ),
            voter,
        )

    async def revise(
        self,
        record: Record,
        actions: Sequence[action_pb2.Action],
        *,
        by: Voter,
        reason: str,
        seen_digest: str,
    ) -> Record:
        """Replace the actions of a pending approval, after they were assessed and judged as new ones are.

        Raises InvalidArgument (ACTIONS_OF_OTHER_KINDS, NOT_EDITABLE, ACTIONS_NOT_CANONICAL, ACTIONS_TOO_LARGE),
        FailedPrecondition (POLICY_DENIED, and what `lifecycle.revise` raises).
        """
        before = approval_pb2.Approval.FromString(record.facts.body)
        _check_editable(record, before.actions, actions)
        policies = await self._policies.of([record.environment])
        context = convert.context_of(before.context, record.environment, self._rules)
        judgement = await asyncio.to_thread(
            judge,
            actions,
            context,
            policies[record.environment],
            require_approval=True,
            asked=Asked(record.project_id, record.requester, policies.now_ms),
        )
        if not judgement.digest:
            raise InvalidArgument("ACTIONS_NOT_CANONICAL", judgement.assessment.factors[0].message)
        if judgement.verdict.outcome is Outcome.DENY:
            raise FailedPrecondition(
                "POLICY_DENIED", f"the policy denies these actions: {judgement.verdict.reason}", approval_id=record.id
            )
        facts = facts_of(actions, before.context, judgement, before.reason, ask_always=not record.facts.memorable)
        if problem := too_large(facts, self._max_body_bytes):
            raise InvalidArgument("ACTIONS_TOO_LARGE", problem)
        decide_within_ms = judgement.verdict.decide_within_ms or self._times.to_decide(judgement.assessment.level)
        shown = redact(reason)
        return await self._changes.change(
            record.id,
            lambda now, now_ms: lifecycle.revise(
                now,
                facts,
                by=by.subject,
                acting=by.acting,
                reason=shown,
                seen_digest=seen_digest,
                decide_within_ms=decide_within_ms,
                rule_packs=self._rule_packs,
                now_ms=now_ms,
            ),
            by,
        )

    async def withdraw_one(self, approval_id: str, by: Voter, reason: str) -> Record:
        """Take back what one has asked for. Raises NotFound, and what `lifecycle.check_pending` raises."""
        shown = redact(reason) or "taken back by the requester"

        def choose(record: Record, now_ms: int) -> Change | None:
            if record.state is State.WITHDRAWN:
                return None
            lifecycle.check_pending(record, now_ms)
            return lifecycle.withdraw(record, now_ms, by=by.subject, reason=shown)

        return await self._changes.change(approval_id, choose, by)

    async def comment(self, record: Record, by: Voter, text: str) -> Comment:
        """Add to the thread of an approval. Raises FailedPrecondition (THREAD_FULL)."""
        shown = redact(text)
        event = journal.about("COMMENTED", record, actor=by.subject, acting=by.acting, reason=shown)
        comment = await self._store.add_comment(record, by.subject, shown, event, MAX_COMMENTS)
        if comment is None:
            raise FailedPrecondition(
                "THREAD_FULL", f"{record.id} has {MAX_COMMENTS} comments; talk to each other", approval_id=record.id
            )
        self._changes.kick([record])
        return comment

    async def comments(self, approval_id: str, start: int, limit: int) -> list[Comment]:
        """A part of a thread, oldest first."""
        return await self._store.comments(approval_id, start, limit)


def _check_editable(record: Record, before: Sequence[action_pb2.Action], after: Sequence[action_pb2.Action]) -> None:
    kinds = [action.WhichOneof("kind") for action in before]
    if _NOT_EDITABLE.intersection(kind or "" for kind in kinds):
        raise InvalidArgument(
            "NOT_EDITABLE", "the start and the result of a step cannot be edited; reject it with a reason instead"
        )
    # What is stored is masked, and what is approved here is handed to the agent from there.
    if digest_of(before) != record.digest or any(redacted(action) != action for action in after):
        raise InvalidArgument(
            "NOT_EDITABLE",
            "actions with secrets in them cannot be edited; reject it, and have the secret passed by reference",
            violations=[("actions", "must contain no secrets")],
        )
    if kinds != [action.WhichOneof("kind") for action in after]:
        wanted = ", ".join(kind or "none" for kind in kinds)
        raise InvalidArgument(
            "ACTIONS_OF_OTHER_KINDS",
            f"number and kinds of the actions must stay ({wanted}), for the agent that asked carries them out",
            violations=[("actions", f"must be: {wanted}")],
        )
