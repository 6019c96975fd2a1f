"""Approvals in Redis: create, load, commit, index, expire, forget."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from redis.asyncio import Redis

from services.approval.lifecycle import CLOSED, Change, Decision, Opening, Record, State, apply, due_ms
from services.approval.store import keys, records
from services.runtime.ids import is_id, new_id, shard_of
from services.runtime.redis import Script, ScriptCall, run_scripts

_HERE = Path(__file__).parent
_CREATE = Script.load(_HERE / "create.lua")
_COMMIT = Script.load(_HERE / "commit.lua")
_FORGET = Script.load(_HERE / "forget.lua")


@dataclass(frozen=True, slots=True)
class Draft:
    """An approval to be created. `grant_hash` and `attempt` are stored if it opens as approved and a lease is named."""

    requester: str
    request_id: str
    run_id: str
    step_id: str
    digest: str
    body: bytes
    opening: Opening
    policy_reason: str
    approved: bool
    attempt: int = 0
    grant_hash: str = ""


@dataclass(frozen=True, slots=True)
class Created:
    """A record, whether this call made it, and the Redis time of the answer."""

    record: Record
    is_new: bool
    now_ms: int


@dataclass(frozen=True, slots=True)
class Commit:
    """A change of a record, and the decision to publish with it (None: nobody waits for it)."""

    record: Record
    change: Change
    publish: bytes | None = None


# "apr_", two hex digits of shard, 32 of the rest.
_ID_CHARS = 38


class ApprovalStore:
    """All approvals, split over `shards`. The number of shards must never change once there is data."""

    def __init__(self, redis: Redis, shards: int) -> None:
        self._redis = redis
        self.shards = shards

    async def now_ms(self) -> int:
        """The time that decides: the server's."""
        return _ms(await self._redis.time())

    async def create(self, drafts: Sequence[Draft]) -> list[Created]:
        """Create approvals, each once for its request_id, in one round trip."""
        calls: list[ScriptCall] = []
        records_made: list[Record] = []
        for draft in drafts:
            shard = keys.shard_for(draft.run_id, draft.request_id, self.shards)
            record = _draft_record(new_id("apr", shard), draft)
            records_made.append(record)
            calls.append(_create_call(shard, record, draft))
        answers = await self._run(calls)
        return [
            _created(answer, draft, record) for answer, draft, record in zip(answers, drafts, records_made, strict=True)
        ]

    async def load(self, approval_id: str) -> tuple[Record | None, int]:
        """One approval (None if there is none), and the time, ms."""
        found, now_ms = await self.load_many([approval_id])
        return found[0], now_ms

    async def load_many(self, approval_ids: Sequence[str]) -> tuple[list[Record | None], int]:
        """Approvals in the order of their ids, and the time, ms, in one round trip."""
        pipeline = self._redis.pipeline(transaction=False)
        pipeline.time()
        for approval_id in approval_ids:
            pipeline.hgetall(self._key(approval_id))
        time, *hashes = await pipeline.execute()
        return [records.decode(fields) if fields else None for fields in hashes], _ms(time)

    async def load_small(self, approval_ids: Sequence[str]) -> tuple[list[Record | None], int]:
        """As `load_many`, but without the bodies: enough to decide and commit on."""
        pipeline = self._redis.pipeline(transaction=False)
        pipeline.time()
        for approval_id in approval_ids:
            pipeline.hmget(self._key(approval_id), records.SMALL_FIELDS)
        time, *rows = await pipeline.execute()
        return [records.decode_small(row) for row in rows], _ms(time)

    def _key(self, approval_id: str) -> str:
        """The key of an approval; for what is no id of ours, a key that never exists."""
        shard = shard_of(approval_id) if is_id(approval_id, "apr") and len(approval_id) == _ID_CHARS else -1
        return keys.approval(shard, approval_id) if 0 <= shard < self.shards else keys.NOTHING

    async def commit(self, commits: Sequence[Commit]) -> list[bool]:
        """Commit changes, in one round trip; False where the record has changed since: load it and decide again."""
        answers = await self._run([_commit_call(commit) for commit in commits])
        return [answer == 1 for answer in answers]

    async def _run(self, calls: Sequence[ScriptCall]) -> list[Any]:
        answers = await run_scripts(self._redis, calls)
        for answer in answers:
            if isinstance(answer, Exception):
                raise answer
        return answers

    async def due(self, limit: int) -> list[str]:
        """Ids of approvals whose time has passed, at most `limit` a shard."""
        return await self._older_than([keys.due(shard) for shard in range(self.shards)], await self.now_ms(), limit)

    async def closed_before(self, when_ms: int, limit: int) -> list[str]:
        """Ids of approvals closed at or before a time, at most `limit` a shard."""
        return await self._older_than([keys.closed(shard) for shard in range(self.shards)], when_ms, limit)

    async def _older_than(self, indexes: Sequence[str], when_ms: int, limit: int) -> list[str]:
        pipeline = self._redis.pipeline(transaction=False)
        for index in indexes:
            pipeline.zrangebyscore(index, "-inf", when_ms, start=0, num=limit)
        found = await pipeline.execute()
        return [keys.approval_id(shard, name.decode()) for shard, names in enumerate(found) for name in names]

    async def forget(self, closed: Sequence[Record]) -> None:
        """Remove closed approvals, and every trace of them."""
        calls: list[ScriptCall] = []
        for record in closed:
            shard = shard_of(record.id)
            touched = [
                keys.approval(shard, record.id),
                keys.request(shard, record.request_id),
                keys.due(shard),
                keys.closed(shard),
                *_indexes(shard, record),
            ]
            calls.append(ScriptCall(_FORGET, touched, [keys.member(record.id)]))
        await self._run(calls)

    async def page(self, indexes: Sequence[tuple[int, str]], after: str, limit: int) -> list[str]:
        """Ids from indexes (shard, key), newest first, from after the member `after` (empty: from the newest)."""
        pipeline = self._redis.pipeline(transaction=False)
        for _, index in indexes:
            pipeline.zrevrangebylex(index, f"({after}" if after else "+", "-", start=0, num=limit)
        found = await pipeline.execute()
        names = [(name, shard) for (shard, _), part in zip(indexes, found, strict=True) for name in part]
        names.sort(reverse=True)
        return [keys.approval_id(shard, name.decode()) for name, shard in names[:limit]]

    @staticmethod
    def cursor(approval_id: str) -> str:
        """Where a page after this approval begins."""
        return keys.member(approval_id)

    def indexes_for(self, *, state: State | None, requester: str | None, run_id: str) -> list[tuple[int, str]]:
        """The smallest indexes that hold everything asked for. A run's holds all its states and requesters."""
        if run_id:
            shard = keys.shard_for(run_id, "", self.shards)
            return [(shard, keys.of_run(shard, run_id))]
        if requester is not None:
            return [(shard, keys.by_requester(shard, requester, state)) for shard in range(self.shards)]
        if state is not None:
            return [(shard, keys.in_state(shard, state)) for shard in range(self.shards)]
        return [(shard, keys.everything(shard)) for shard in range(self.shards)]


def _ms(time: tuple[int, int]) -> int:
    seconds, micros = time
    return int(seconds) * 1000 + int(micros) // 1000


def _flat(fields: records.Fields) -> list[str | bytes | int]:
    return [part for pair in fields.items() for part in pair]


def _indexes(shard: int, record: Record) -> list[str]:
    return [
        keys.everything(shard),
        keys.in_state(shard, record.state),
        keys.by_requester(shard, record.requester),
        keys.by_requester(shard, record.requester, record.state),
        *([keys.of_run(shard, record.run_id)] if record.run_id else []),
    ]


def _draft_record(approval_id: str, draft: Draft) -> Record:
    """The record as it will be, but for the times, which the script sets."""
    decision = None
    if draft.opening.decided:
        decision = Decision(draft.approved, "policy", draft.policy_reason, 0)
    granted = draft.opening.state is State.APPROVED and draft.attempt > 0
    return Record(
        id=approval_id,
        version=1,
        state=draft.opening.state,
        requester=draft.requester,
        request_id=draft.request_id,
        run_id=draft.run_id,
        step_id=draft.step_id,
        digest=draft.digest,
        created_ms=0,
        body=draft.body,
        decision=decision,
        attempt=draft.attempt if granted else 0,
        grants=(draft.grant_hash,) if granted else (),
    )


def _create_call(shard: int, record: Record, draft: Draft) -> ScriptCall:
    fields: records.Fields = {
        "id": record.id,
        "version": record.version,
        "state": int(record.state),
        "requester": record.requester,
        "request_id": record.request_id,
        "run_id": record.run_id,
        "step_id": record.step_id,
        "digest": record.digest,
        "body": record.body,
    }
    if record.decision is not None:
        fields |= records.encode_decision(record.decision)
    if record.grants:
        fields |= records.encode_grants(record.attempt, record.grants)
    opening = draft.opening
    return ScriptCall(
        _CREATE,
        keys=[
            keys.request(shard, record.request_id),
            keys.approval(shard, record.id),
            keys.due(shard),
            keys.closed(shard),
            *_indexes(shard, record),
        ],
        args=[
            record.id,
            keys.member(record.id),
            opening.decide_within_ms,
            opening.use_within_ms,
            int(opening.decided),
            int(opening.state in CLOSED),
            keys.approval(shard, ""),
            *_flat(fields),
        ],
    )


def _commit_call(commit: Commit) -> ScriptCall:
    record, change = commit.record, commit.change
    shard = shard_of(record.id)
    return ScriptCall(
        _COMMIT,
        keys=[
            keys.approval(shard, record.id),
            keys.due(shard),
            keys.closed(shard),
            keys.outbox(shard),
            keys.in_state(shard, record.state),
            keys.in_state(shard, change.state),
            keys.by_requester(shard, record.requester, record.state),
            keys.by_requester(shard, record.requester, change.state),
        ],
        args=[
            change.version,
            change.before_ms,
            keys.member(record.id),
            due_ms(apply(record, change)),
            int(change.state in CLOSED),
            commit.publish or b"",
            *_flat(records.encode_change(change)),
        ],
    )


def _created(answer: list[Any], draft: Draft, record: Record) -> Created:
    is_new, now_ms, *stored = answer
    if not is_new:
        return Created(records.decode(dict(zip(stored[::2], stored[1::2], strict=True))), False, now_ms)
    opening = draft.opening
    decision = record.decision and dataclasses.replace(record.decision, at_ms=now_ms)
    return Created(
        dataclasses.replace(
            record,
            created_ms=now_ms,
            decide_by_ms=now_ms + opening.decide_within_ms if opening.decide_within_ms else 0,
            use_by_ms=now_ms + opening.use_within_ms if opening.use_within_ms else 0,
            decision=decision,
        ),
        True,
        now_ms,
    )
