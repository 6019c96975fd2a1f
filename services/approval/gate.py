"""The gate: takes requests, lets the policy or a person decide, gives grants, takes them back."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from harness.approval.v1 import approval_pb2
from services.approval import convert, lifecycle
from services.approval.judge import Judgement, judge
from services.approval.lifecycle import Change, Outcome, Record, Times
from services.approval.messages import approval_message, commit_of
from services.approval.policies import Policies
from services.approval.risk.rules import RuleBook
from services.approval.store.approvals import ApprovalStore, Created, Draft
from services.approval.store.decisions import DecisionLog
from services.runtime.errors import Aborted, NotFound
from services.runtime.ids import shard_of
from services.runtime.redaction import redact
from services.runtime.redaction.messages import redacted

# Each failed attempt means that somebody else changed the record in between, and an approval changes a few times in
# its life.
_ATTEMPTS = 20
_GRANT_BYTES = 32
_BATCH = 200
# From here on, assessing runs beside the event loop instead of in it.
_BIG_BYTES = 64 * 1024

Choose = Callable[[Record, int], Change | None]


@dataclass(frozen=True, slots=True)
class _Taken:
    """An item that was judged, and the secret of the grant it may get."""

    item: approval_pb2.ApprovalItem
    judgement: Judgement
    secret: str
    body: bytes


def hash_of(secret: str) -> str:
    """What is stored of a grant's secret."""
    return hashlib.sha256(secret.encode()).hexdigest()


class Gate:
    """Approvals from request to redemption. Any number of processes can serve the same data."""

    def __init__(
        self,
        store: ApprovalStore,
        policies: Policies,
        decisions: DecisionLog,
        *,
        times: Times,
        environment: str,
        rules: RuleBook | None = None,
        max_body_bytes: int,
    ) -> None:
        self._store = store
        self._policies = policies
        self._decisions = decisions
        self._times = times
        self._environment = environment
        self._rules = rules
        self._max_body_bytes = max_body_bytes

    async def request(self, items: Sequence[approval_pb2.ApprovalItem]) -> list[approval_pb2.RequestedApproval]:
        """Take items: assess, ask the policy, store, grant. One answer each, in their order."""
        names = [convert.environment_name(item.context.environment, self._environment) for item in items]
        policies = await self._policies.of(names)

        def take_all() -> list[_Taken]:
            taken = []
            for item, name in zip(items, names, strict=True):
                context = convert.context_of(item.context, name, self._rules)
                judgement = judge(item.actions, context, policies[name], require_approval=item.require_approval)
                taken.append(_take(item, judgement))
            return taken

        is_big = sum(item.ByteSize() for item in items) > _BIG_BYTES
        taken = await asyncio.to_thread(take_all) if is_big else take_all()
        refusals = [self._refusal(one) for one in taken]
        accepted = [one for one, refusal in zip(taken, refusals, strict=True) if refusal is None]
        answers = iter(await self._store_all(accepted))
        return [refusal or next(answers) for refusal in refusals]

    def _refusal(self, taken: _Taken) -> approval_pb2.RequestedApproval | None:
        if not taken.judgement.digest:
            why = taken.judgement.assessment.factors[0].message
            return approval_pb2.RequestedApproval(error_reason="ACTIONS_NOT_CANONICAL", error_message=why)
        if len(taken.body) > self._max_body_bytes:
            return approval_pb2.RequestedApproval(
                error_reason="ACTIONS_TOO_LARGE",
                error_message=f"the actions take {len(taken.body)} bytes; ask for at most {self._max_body_bytes}",
            )
        return None

    async def _store_all(self, taken: Sequence[_Taken]) -> list[approval_pb2.RequestedApproval]:
        if not taken:
            return []
        created = await self._store.create([self._draft(one) for one in taken])
        answers = [_answer(one, made) for one, made in zip(taken, created, strict=True)]
        again = [i for i, made in enumerate(created) if not made.is_new and not answers[i].error_reason]
        granted = await self._grant_again([(taken[i], created[i]) for i in again])
        for i, answer in zip(again, granted, strict=True):
            answers[i] = answer
        return answers

    def _draft(self, taken: _Taken) -> Draft:
        item, judgement = taken.item, taken.judgement
        outcome = judgement.verdict.outcome
        return Draft(
            requester=item.requester,
            request_id=item.request_id,
            run_id=item.context.run_id,
            step_id=item.context.step_id,
            digest=judgement.digest,
            body=taken.body,
            opening=lifecycle.open_with(outcome, judgement.assessment.level, self._times),
            policy_reason=judgement.verdict.reason,
            approved=outcome is Outcome.AUTO,
            attempt=item.attempt,
            grant_hash=hash_of(taken.secret),
        )

    async def _grant_again(self, repeats: Sequence[tuple[_Taken, Created]]) -> list[approval_pb2.RequestedApproval]:
        """Answer items whose approvals exist: as they are now, with a grant for the attempt they name."""
        answers: list[approval_pb2.RequestedApproval | None] = [None] * len(repeats)
        records = [(created.record, created.now_ms) for _, created in repeats]
        left = list(range(len(repeats)))
        for _ in range(_ATTEMPTS):
            commits, waiting = [], []
            for i in left:
                (taken, _), (record, now_ms) = repeats[i], records[i]
                change = lifecycle.mint(
                    record, attempt=taken.item.attempt, grant_hash=hash_of(taken.secret), now_ms=now_ms
                )
                if change is None:
                    answers[i] = _granted(record, "")
                else:
                    commits.append(commit_of(record, change))
                    waiting.append(i)
            left = []
            for i, commit, done in zip(waiting, commits, await self._store.commit(commits), strict=True):
                if done:
                    record = lifecycle.apply(commit.record, commit.change)
                    answers[i] = _granted(record, repeats[i][0].secret)
                else:
                    left.append(i)
            if not left:
                return [answer for answer in answers if answer is not None]
            found, now_ms = await self._store.load_many([records[i][0].id for i in left])
            for i, fresh in zip(left, found, strict=True):
                records[i] = (fresh or records[i][0], now_ms)
        raise _busy(records[left[0]][0].id)

    async def load(self, approval_id: str) -> Record:
        """One approval. Raises NotFound (APPROVAL_NOT_FOUND)."""
        record, _ = await self._store.load(approval_id)
        if record is None:
            raise not_found(approval_id)
        return record

    async def decide(
        self, approval_id: str, *, approve: bool, by: str, actor: str, reason: str, seen_digest: str
    ) -> Record:
        """Approve or reject, as one person. Raises NotFound, and what `lifecycle.decide` raises."""
        shown = redact(reason)

        def choose(record: Record, now_ms: int) -> Change | None:
            return lifecycle.decide(
                record,
                approve=approve,
                by=by,
                actor=actor,
                reason=shown,
                now_ms=now_ms,
                times=self._times,
                seen_digest=seen_digest,
            )

        return await self._change(approval_id, choose)

    async def redeem(self, grant: str, *, digest: str, run_id: str, step_id: str, attempt: int) -> str:
        """Consume a grant; the id of its approval. Raises NotFound, and what `lifecycle.redeem` raises."""
        approval_id, _, secret = grant.partition(".")

        def choose(record: Record, now_ms: int) -> Change:
            return lifecycle.redeem(
                record,
                grant_hash=hash_of(secret),
                digest=digest,
                run_id=run_id,
                step_id=step_id,
                attempt=attempt,
                now_ms=now_ms,
            )

        try:
            return (await self._change(approval_id, choose)).id
        except NotFound as error:
            raise NotFound("GRANT_NOT_FOUND", "there is no such grant; propose the actions again") from error

    async def _change(self, approval_id: str, choose: Choose) -> Record:
        """Load, choose, commit, until nobody came between; what is out of time is expired first."""
        for _ in range(_ATTEMPTS):
            record, now_ms = await self._store.load(approval_id)
            if record is None:
                raise not_found(approval_id)
            overdue = lifecycle.expire(record, now_ms)
            change = overdue or choose(record, now_ms)
            if change is None:
                return record
            if await self._commit([(record, change)]) and not overdue:
                return lifecycle.apply(record, change)
        raise _busy(approval_id)

    async def _commit(self, changes: Sequence[tuple[Record, Change]]) -> int:
        """Commit changes and have the decisions published; how many were committed."""
        done = await self._store.commit([commit_of(record, change) for record, change in changes])
        self._decisions.kick({shard_of(record.id) for (record, _), ok in zip(changes, done, strict=True) if ok})
        return sum(done)

    async def withdraw(self, run_id: str) -> int:
        """Close what is pending of a run; how many there were."""
        index = self._store.indexes_for(state=None, requester=None, run_id=run_id)
        withdrawn, after = 0, ""
        while True:
            ids = await self._store.page(index, after, _BATCH)
            if not ids:
                return withdrawn
            for _ in range(_ATTEMPTS):
                records, now_ms = await self._store.load_small(ids)
                changes = [
                    (record, change)
                    for record in records
                    if record is not None and (change := lifecycle.withdraw(record, now_ms))
                ]
                if not changes:
                    break
                withdrawn += await self._commit(changes)
            after = self._store.cursor(ids[-1])

    async def expire_due(self) -> int:
        """Expire what is out of time, at most some hundreds; how many."""
        records, now_ms = await self._store.load_small(await self._store.due(_BATCH))
        changes = [
            (record, change)
            for record in records
            if record is not None and (change := lifecycle.expire(record, now_ms))
        ]
        return await self._commit(changes) if changes else 0

    async def forget_closed(self, older_than_ms: int) -> int:
        """Remove what has been closed for longer than a time, at most some hundreds; how many."""
        now_ms = await self._store.now_ms()
        records, _ = await self._store.load_small(await self._store.closed_before(now_ms - older_than_ms, _BATCH))
        closed = [record for record in records if record is not None and record.state in lifecycle.CLOSED]
        await self._store.forget(closed)
        return len(closed)


def not_found(approval_id: str) -> NotFound:
    """The error for an approval that does not exist, or that the caller may not see: the same."""
    return NotFound(
        "APPROVAL_NOT_FOUND",
        f"there is no approval {approval_id}; list them with ListApprovals",
        approval_id=approval_id,
    )


def _busy(approval_id: str) -> Aborted:
    return Aborted("APPROVAL_BUSY", f"{approval_id} keeps changing; repeat the call", approval_id=approval_id)


def _take(item: approval_pb2.ApprovalItem, judgement: Judgement) -> _Taken:
    """What is stored of an item. Secrets are masked: the digest is of the original, and only its worker needs that."""
    actions = [redacted(action) for action in item.actions]
    body = approval_pb2.Approval(
        actions=actions,
        context=redacted(item.context),
        preview=convert.preview_message(item.actions),
        reason=redact(item.reason),
        policy_reason=judgement.verdict.reason,
    )
    judgement.put_assessment(body.assessment)
    if any(shown != action for shown, action in zip(actions, item.actions, strict=True)):
        # The places are those of the original, which nobody sees.
        for factor in body.assessment.factors:
            factor.ClearField("span")
    return _Taken(item, judgement, secrets.token_urlsafe(_GRANT_BYTES), body.SerializeToString())


def _answer(taken: _Taken, created: Created) -> approval_pb2.RequestedApproval:
    record, item = created.record, taken.item
    if created.is_new:
        return _granted(record, taken.secret if record.grants else "")
    stored = {
        "digest": record.digest,
        "requester": record.requester,
        "run": record.run_id,
        "step": record.step_id,
    }
    asked = {
        "digest": taken.judgement.digest,
        "requester": item.requester,
        "run": item.context.run_id,
        "step": item.context.step_id,
    }
    other = [name for name, value in stored.items() if asked[name] != value]
    if other:
        return approval_pb2.RequestedApproval(
            error_reason="REQUEST_ID_REUSED",
            error_message=(
                f"request_id {item.request_id} was used for another {' and '.join(other)} ({record.id}); use a new one"
            ),
        )
    return _granted(record, "")


def _granted(record: Record, secret: str) -> approval_pb2.RequestedApproval:
    return approval_pb2.RequestedApproval(
        approval=approval_message(record, with_actions=False), grant=f"{record.id}.{secret}" if secret else ""
    )
