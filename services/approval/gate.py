"""The gate: takes requests, lets the policy or people decide, gives grants, takes them back."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from harness.approval.v1 import approval_pb2, risk_pb2
from services.approval import convert, journal, lifecycle
from services.approval.changes import ATTEMPTS, Changes, busy, not_found
from services.approval.facts import facts_of, too_large
from services.approval.findings import Recent
from services.approval.grants.issuer import Grants
from services.approval.grants.token import Claims, hash_of, new_grant_id
from services.approval.judge import Asked, Judgement, judge
from services.approval.lifecycle import Change, Outcome, Times
from services.approval.limits import Ask, Limits
from services.approval.messages import approval_message
from services.approval.policies import Policies
from services.approval.quorum import Voter
from services.approval.record import CLOSED, POLICY, Decision, Facts, Record
from services.approval.remembered import Remembered
from services.approval.risk.rules import BUILTIN, RuleBook
from services.approval.rule_packs import condensed
from services.approval.store.approvals import ApprovalStore, Created, Draft, Query
from services.approval.store.remembered import Circumstances, RememberedStore
from services.runtime.errors import FailedPrecondition, NotFound

_BATCH = 200
# From here on, an item is judged beside the event loop instead of in it: some ten milliseconds. Questions are rules of
# the policy times actions that they look at.
_BIG_BYTES = 16 * 1024
_MANY_QUESTIONS = 500
# What takes about as long as an item does anyway, and after how much of that others get their turn: some milliseconds.
_SMALL_BYTES = 512
_FEW_QUESTIONS = 25
_TURN = 20


@dataclass(frozen=True, slots=True)
class _Taken:
    """An item that was judged, and the id of the grant it may get."""

    item: approval_pb2.ApprovalItem
    judgement: Judgement
    grant_id: str
    facts: Facts
    environment: str


class Gate:
    """Approvals from request to redemption. Any number of processes can serve the same data."""

    def __init__(
        self,
        store: ApprovalStore,
        policies: Policies,
        changes: Changes,
        remembered: RememberedStore,
        grants: Grants,
        *,
        times: Times,
        environment: str,
        rules: RuleBook | None = None,
        max_body_bytes: int,
        max_pending_of_run: int = 0,
        limits: Limits | None = None,
    ) -> None:
        self._store = store
        self._policies = policies
        self._changes = changes
        self._remembered = remembered
        self._grants = grants
        self._times = times
        self._environment = environment
        self._rules = rules
        self._rule_packs = condensed(rules or BUILTIN)
        self._max_body_bytes = max_body_bytes
        self._max_pending_of_run = max_pending_of_run
        self._limits = limits
        self._recent = Recent()

    async def request(self, items: Sequence[approval_pb2.ApprovalItem]) -> list[approval_pb2.RequestedApproval]:
        """Take items: assess, ask the policy, store, grant. One answer each, in their order."""
        names = [convert.environment_name(item.context.environment, self._environment) for item in items]
        policies = await self._policies.of(names)

        def take(item: approval_pb2.ApprovalItem, name: str) -> _Taken:
            judgement = judge(
                item.actions,
                convert.context_of(item.context, name, self._rules),
                policies[name],
                require_approval=item.require_approval,
                asked=Asked(item.context.project_id, item.requester, policies.now_ms),
                find=self._recent.of,
            )
            return _take(item, judgement, name)

        taken: list[_Taken] = []
        turn = 0
        for item, name in zip(items, names, strict=True):
            size = item.ByteSize()
            questions = len(item.actions) * (len(policies[name].rules) + len(policies[name].freezes))
            if size > _BIG_BYTES or questions > _MANY_QUESTIONS:
                taken.append(await asyncio.to_thread(take, item, name))
                continue
            taken.append(take(item, name))
            turn += 1 + size // _SMALL_BYTES + questions // _FEW_QUESTIONS
            if turn >= _TURN:
                turn = 0
                await asyncio.sleep(0)
        refusals = [self._refusal(one) for one in taken]
        accepted = [one for one, refusal in zip(taken, refusals, strict=True) if refusal is None]
        answers = iter(await self._take_accepted(accepted))
        return [refusal or next(answers) for refusal in refusals]

    def _refusal(self, taken: _Taken) -> approval_pb2.RequestedApproval | None:
        if not taken.judgement.digest:
            why = taken.judgement.assessment.factors[0].message
            return approval_pb2.RequestedApproval(error_reason="ACTIONS_NOT_CANONICAL", error_message=why)
        if problem := too_large(taken.facts, self._max_body_bytes):
            return approval_pb2.RequestedApproval(error_reason="ACTIONS_TOO_LARGE", error_message=problem)
        return None

    async def _take_accepted(self, taken: Sequence[_Taken]) -> list[approval_pb2.RequestedApproval]:
        """Store what is within its requester's limits; what a remembered decision answers asks no human."""
        if not taken:
            return []
        known = await self._known(taken)
        refusals = await self._over_limits(taken, known)
        within = [(taken[i], known[i]) for i, refusal in enumerate(refusals) if refusal is None]
        answers = iter(await self._store_all(within))
        return [refusal or next(answers) for refusal in refusals]

    async def _over_limits(
        self, taken: Sequence[_Taken], known: Sequence[Remembered | None]
    ) -> list[approval_pb2.RequestedApproval | None]:
        if self._limits is None:
            return [None] * len(taken)
        asks = [
            Ask(
                one.item.requester,
                one.item.context.run_id,
                one.item.request_id,
                asks_human=one.judgement.verdict.outcome is Outcome.HUMAN and answer is None,
            )
            for one, answer in zip(taken, known, strict=True)
        ]
        return [
            approval_pb2.RequestedApproval(error_reason=found.reason, error_message=found.message) if found else None
            for found in await self._limits.refusals(asks)
        ]

    async def _store_all(
        self, within: Sequence[tuple[_Taken, Remembered | None]]
    ) -> list[approval_pb2.RequestedApproval]:
        if not within:
            return []
        taken = [one for one, _ in within]
        created = await self._store.create(
            [self._draft(one, answer) for one, answer in within], max_pending_of_run=self._max_pending_of_run
        )
        self._changes.kick(made.record for made in created if made.is_new and made.record.was_asked)
        answers = [_answer(self._grants, one, made) for one, made in zip(taken, created, strict=True)]
        again = [i for i, made in enumerate(created) if not (made.is_new or answers[i].error_reason)]
        granted = await self._grant_again([(taken[i], created[i]) for i in again])
        for i, answer in zip(again, granted, strict=True):
            answers[i] = answer
        return answers

    async def _known(self, taken: Sequence[_Taken]) -> list[Remembered | None]:
        """For each item that would ask a human, a remembered decision that answers it."""
        known: list[Remembered | None] = [None] * len(taken)
        asking = [
            i for i, one in enumerate(taken) if one.judgement.verdict.outcome is Outcome.HUMAN and one.facts.memorable
        ]
        found = await self._remembered.find([_circumstances(taken[i]) for i in asking])
        for i, candidates in zip(asking, found, strict=True):
            item = taken[i].item
            people = frozenset({item.requester, *item.initiators})
            holding = [one for one in candidates if one.holds_for(taken[i].facts, people)]
            known[i] = holding[0] if holding else None
        return known

    def _draft(self, taken: _Taken, known: Remembered | None) -> Draft:
        item, judgement = taken.item, taken.judgement
        verdict = judgement.verdict
        outcome = verdict.outcome if known is None else Outcome.AUTO
        opening = lifecycle.open_with(
            outcome,
            judgement.assessment.level,
            self._times,
            decide_within_ms=verdict.decide_within_ms,
            use_within_ms=verdict.use_within_ms,
        )
        decision = None
        if known is not None:
            decision = Decision(True, known.voters[-1], f"remembered from {known.approval_id}", 0)
        elif opening.decided:
            decision = Decision(verdict.outcome is Outcome.AUTO, POLICY, verdict.reason, 0)
        return Draft(
            requester=item.requester,
            request_id=item.request_id,
            run_id=item.context.run_id,
            step_id=item.context.step_id,
            project_id=item.context.project_id,
            environment=taken.environment,
            agent=item.context.agent,
            remembered_from=known.approval_id if known else "",
            initiators=tuple(sorted(set(item.initiators) - {item.requester})),
            facts=taken.facts,
            opening=opening,
            decision=decision,
            event=lambda record: _requested(record, taken, self._rule_packs),
            attempt=item.attempt,
            grant_hash=hash_of(taken.grant_id),
        )

    async def _grant_again(self, repeats: Sequence[tuple[_Taken, Created]]) -> list[approval_pb2.RequestedApproval]:
        """Answer items whose approvals exist: as they are now, with a grant for the attempt they name."""
        answers: list[approval_pb2.RequestedApproval | None] = [None] * len(repeats)
        records = [(created.record, created.now_ms) for _, created in repeats]
        left = list(range(len(repeats)))
        for _ in range(ATTEMPTS):
            changes, waiting = [], []
            for i in left:
                (taken, _), (record, now_ms) = repeats[i], records[i]
                change = lifecycle.mint(
                    record, attempt=taken.item.attempt, grant_hash=hash_of(taken.grant_id), now_ms=now_ms
                )
                if change is None:
                    answers[i] = _granted(self._grants, record, "", now_ms)
                else:
                    changes.append(change)
                    waiting.append(i)
            left = []
            for i, change, done in zip(waiting, changes, await self._store.commit(changes), strict=True):
                if done:
                    answers[i] = _granted(self._grants, change.after, repeats[i][0].grant_id, records[i][1])
                else:
                    left.append(i)
            if not left:
                return [answer for answer in answers if answer is not None]
            found, now_ms = await self._store.load_many([records[i][0].id for i in left])
            for i, fresh in zip(left, found, strict=True):
                records[i] = (fresh or records[i][0], now_ms)
        raise busy(records[left[0]][0].id)

    async def load(self, approval_id: str) -> Record:
        """One approval. Raises NotFound (APPROVAL_NOT_FOUND)."""
        record, _ = await self._store.load(approval_id)
        if record is None:
            raise not_found(approval_id)
        return record

    async def redeem(self, grant: str, *, digest: str, run_id: str, step_id: str, attempt: int, by: str = "") -> str:
        """Consume a grant; the id of its approval.

        Raises NotFound, and what `Grants.read` and `lifecycle.redeem` raise.
        """
        try:
            claims = self._grants.read(grant)
        except FailedPrecondition as error:
            await self._changes.note_forgery(error, Voter(by), run_id=run_id, step_id=step_id, attempt=attempt)
            raise

        def choose(record: Record, now_ms: int) -> Change:
            return lifecycle.redeem(
                record,
                grant_hash=hash_of(claims.grant_id),
                revision=claims.revision,
                digest=digest,
                run_id=run_id,
                step_id=step_id,
                attempt=attempt,
                now_ms=now_ms,
                by=by,
            )

        try:
            return (await self._changes.change(claims.approval_id, choose, Voter(by))).id
        except NotFound as error:
            raise NotFound("GRANT_NOT_FOUND", "there is no such grant; propose the actions again") from error

    async def withdraw(self, run_id: str) -> int:
        """Close what is pending of a run; how many there were."""
        index = self._store.indexes_for(Query(run_id=run_id))
        withdrawn, after = 0, ""
        while True:
            ids = await self._store.page(index, after, _BATCH)
            if not ids:
                return withdrawn
            for _ in range(ATTEMPTS):
                records, now_ms = await self._store.load_small(ids)
                changes = [
                    change
                    for record in records
                    if record is not None and (change := lifecycle.withdraw(record, now_ms))
                ]
                if not changes:
                    break
                withdrawn += await self._changes.commit(changes)
            after = self._store.cursor(ids[-1])

    async def do_due(self) -> int:
        """Expire what is out of time, and escalate what is half-way: what has been due for longest, at most some
        hundreds, so that thousands that are due at once hold nobody up; how many."""
        records, now_ms = await self._store.load_small(await self._store.due(_BATCH))
        changes = [
            change
            for record in records
            if record is not None and (change := lifecycle.expire(record, now_ms) or lifecycle.escalate(record, now_ms))
        ]
        return await self._changes.commit(changes) if changes else 0

    async def forget_closed(self, older_than_ms: int) -> int:
        """Remove what has been closed for longer than a time, at most some hundreds; how many."""
        now_ms = await self._store.now_ms()
        records, _ = await self._store.load_small(await self._store.closed_before(now_ms - older_than_ms, _BATCH))
        closed = [record for record in records if record is not None and record.state in CLOSED]
        await self._store.forget(closed)
        return len(closed)


def _take(item: approval_pb2.ApprovalItem, judgement: Judgement, environment: str) -> _Taken:
    facts = facts_of(item.actions, item.context, judgement, item.reason, ask_always=item.require_approval)
    return _Taken(item, judgement, new_grant_id(), facts, environment)


def _circumstances(taken: _Taken) -> Circumstances:
    context = taken.item.context
    return Circumstances(context.project_id, context.run_id, taken.facts.digest, context.agent, taken.environment)


def _requested(record: Record, taken: _Taken, rule_packs: str) -> bytes:
    """The journal's entry of a new approval: what was found, and what the policy made of it."""
    verdict = taken.judgement.verdict
    return journal.about(
        "APPROVAL_REQUESTED",
        record,
        actor=record.decision.by if record.decision else record.requester,
        remembered_from=record.remembered_from,
        score=record.facts.score,
        factor_ids=list(record.facts.factor_ids),
        rule_packs=rule_packs,
        policy_rule=record.facts.policy_rule,
        policy_etag=record.facts.policy_etag,
        outcome=risk_pb2.PolicyOutcome.Name(risk_pb2.PolicyOutcome.ValueType(int(verdict.outcome))),
        reason=verdict.reason,
        attempt=record.attempt,
        grant_id=record.grants[0] if record.grants else "",
    )


def _answer(grants: Grants, taken: _Taken, created: Created) -> approval_pb2.RequestedApproval:
    record, item = created.record, taken.item
    if created.too_many:
        return approval_pb2.RequestedApproval(
            error_reason="TOO_MANY_PENDING",
            error_message=f"too many of {item.context.run_id} wait for a human; ask again when some are decided",
        )
    if created.is_new:
        return _granted(grants, record, taken.grant_id if record.grants else "", created.now_ms)
    stored = {
        "digest": record.asked_digest,
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
    return _granted(grants, record, "", created.now_ms)


def _granted(grants: Grants, record: Record, grant_id: str, now_ms: int) -> approval_pb2.RequestedApproval:
    """The answer about an approval, with a grant if there is an id for one."""
    answer = approval_pb2.RequestedApproval(approval=approval_message(record, with_actions=record.facts.revision > 1))
    if grant_id:
        claims = Claims(
            approval_id=record.id,
            revision=record.facts.revision,
            digest=record.digest,
            run_id=record.run_id,
            step_id=record.step_id,
            attempt=record.attempt,
            issued_ms=now_ms,
            expires_ms=record.use_by_ms,
            grant_id=grant_id,
        )
        answer.grant = grants.issue(claims)
    return answer
