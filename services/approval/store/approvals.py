"""Approvals in Redis: create, load, commit, index, expire, forget."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
from redis.asyncio import Redis

from services.approval.lifecycle import Change, Opening
from services.approval.record import CLOSED, NOBODY, Decision, Facts, Record, State, due_ms
from services.approval.store import keys, records
from services.approval.store.rates import let_through
from services.runtime.ids import is_id, new_id, shard_of
from services.runtime.redis import Script, ScriptCall, run_scripts

_HERE = Path(__file__).parent
_CREATE = Script.load(_HERE / "create.lua")
_COMMIT = Script.load(_HERE / "commit.lua")
_COMMENT = Script.load(_HERE / "comment.lua")
_FORGET = Script.load(_HERE / "forget.lua")

# What create.lua answers.
_EXISTS, _TOO_MANY = 0, 2


@dataclass(frozen=True, slots=True)
class Draft:
    """An approval to be created. `grant_hash` and `attempt` are stored if it opens as approved and a lease is named.

    `decision` is what it opens with if it is decided (its time is set where it is stored), `event` makes the entry of
    the journal from the record as it is stored.
    """

    requester: str
    request_id: str
    run_id: str
    step_id: str
    facts: Facts
    opening: Opening
    event: Callable[[Record], bytes]
    project_id: str = ""
    environment: str = ""
    agent: str = ""
    initiators: tuple[str, ...] = ()
    decision: Decision | None = None
    remembered_from: str = ""
    attempt: int = 0
    grant_hash: str = ""


@dataclass(frozen=True, slots=True)
class Created:
    """A record, whether this call made it, and the Redis time of the answer.

    `too_many`: nothing was stored, for as many of the run as may be are pending.
    """

    record: Record
    is_new: bool
    now_ms: int
    too_many: bool = False


@dataclass(frozen=True, slots=True)
class Comment:
    """One entry of a thread."""

    author: str
    text: str
    at_ms: int


@dataclass(frozen=True, slots=True)
class Query:
    """What a list is to hold: everything that is set holds for each of its approvals."""

    state: State | None = None
    requester: str | None = None
    run_id: str = ""
    project_id: str = ""
    level: int = 0
    approval_type: str = ""
    group: str = ""
    needs_review: bool = False

    def matches(self, record: Record) -> bool:
        """Whether a record is one of them."""
        facts = record.facts
        owed = record.glass is not None and not record.glass.reviewed_by
        return (
            (self.state is None or record.state is self.state)
            and (self.requester is None or record.requester == self.requester)
            and self.run_id in ("", record.run_id)
            and self.project_id in ("", record.project_id)
            and self.level in (0, facts.level)
            and self.approval_type in ("", facts.approval_type)
            and self.group in ("", facts.group)
            and (owed or not self.needs_review)
        )


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

    async def create(self, drafts: Sequence[Draft], *, max_pending_of_run: int = 0) -> list[Created]:
        """Create approvals, each once for its request_id, in one round trip.

        `max_pending_of_run` is how many of one run may wait for a human (0: any number).
        """
        calls: list[ScriptCall] = []
        records_made: list[Record] = []
        for draft in drafts:
            shard = keys.shard_for(draft.run_id, draft.request_id, self.shards)
            record = _draft_record(new_id("apr", shard), draft)
            records_made.append(record)
            calls.append(_create_call(shard, record, draft, max_pending_of_run))
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

    async def commit(self, changes: Sequence[Change]) -> list[bool]:
        """Commit changes, in one round trip; False where the record has changed since: load it and decide again."""
        answers = await self._run([_commit_call(change) for change in changes])
        return [answer == 1 for answer in answers]

    async def earlier_body(self, approval_id: str, revision: int) -> bytes | None:
        """The body of a revision that was replaced; None if there is none."""
        shard = shard_of(approval_id)
        body: Any = await self._redis.hget(keys.revisions(shard, approval_id), str(revision))
        return bytes(body) if body is not None else None

    async def known_and_pending(
        self, requests: Sequence[tuple[str, str]], requesters: Iterable[str]
    ) -> tuple[list[bool], dict[str, int]]:
        """For each (run, request_id) whether it made an approval, and how many approvals of each requester are pending.

        One round trip.
        """
        people = sorted(set(requesters))
        pipeline = self._redis.pipeline(transaction=False)
        for run_id, request_id in requests:
            pipeline.exists(keys.request(keys.shard_for(run_id, request_id, self.shards), request_id))
        for requester in people:
            for shard in range(self.shards):
                pipeline.zcard(keys.by_requester(shard, requester, State.PENDING))
        answers = await pipeline.execute()
        known, counts = answers[: len(requests)], answers[len(requests) :]
        return [bool(one) for one in known], {
            requester: sum(counts[n * self.shards : (n + 1) * self.shards]) for n, requester in enumerate(people)
        }

    async def let_through(self, asked: Sequence[tuple[str, int]], per_minute: int) -> list[tuple[int, int]]:
        """For each requester and number of requests how many may ask a human now, and ms until one more may."""
        return await let_through(self._redis, [(keys.asks(who), count) for who, count in asked], per_minute)

    async def add_comment(self, record: Record, author: str, text: str, event: bytes, most: int) -> Comment | None:
        """Add to a thread; None if it has `most` already."""
        shard = shard_of(record.id)
        touched = [keys.approval(shard, record.id), keys.comments(shard, record.id), keys.journal(shard)]
        entry = orjson.dumps([author, text])
        at_ms = int(await _COMMENT(self._redis, touched, [entry, event, most, int(record.was_asked)]))
        return Comment(author, text, at_ms) if at_ms else None

    async def comments(self, approval_id: str, start: int, limit: int) -> list[Comment]:
        """A part of a thread, oldest first."""
        found: list[Any] = await self._redis.lrange(
            keys.comments(shard_of(approval_id), approval_id), start, start + limit - 1
        )
        return [_comment(entry) for entry in found]

    async def _run(self, calls: Sequence[ScriptCall]) -> list[Any]:
        answers = await run_scripts(self._redis, calls)
        for answer in answers:
            if isinstance(answer, Exception):
                raise answer
        return answers

    async def due(self, limit: int) -> list[str]:
        """Ids of approvals whose time has passed: the `limit` for which it has for longest."""
        return await self._older_than([keys.due(shard) for shard in range(self.shards)], await self.now_ms(), limit)

    async def closed_before(self, when_ms: int, limit: int) -> list[str]:
        """Ids of approvals closed at or before a time: the `limit` that have been for longest."""
        return await self._older_than([keys.closed(shard) for shard in range(self.shards)], when_ms, limit)

    async def _older_than(self, indexes: Sequence[str], when_ms: int, limit: int) -> list[str]:
        pipeline = self._redis.pipeline(transaction=False)
        for index in indexes:
            pipeline.zrangebyscore(index, "-inf", when_ms, start=0, num=limit, withscores=True)
        found = await pipeline.execute()
        oldest = sorted((when, shard, name) for shard, names in enumerate(found) for name, when in names)
        return [keys.approval_id(shard, name.decode()) for _, shard, name in oldest[:limit]]

    async def forget(self, closed: Sequence[Record]) -> None:
        """Remove closed approvals, and every trace of them."""
        calls: list[ScriptCall] = []
        for record in closed:
            shard = shard_of(record.id)
            touched = [
                keys.approval(shard, record.id),
                keys.request(shard, record.request_id),
                keys.revisions(shard, record.id),
                keys.comments(shard, record.id),
                keys.due(shard),
                keys.closed(shard),
                keys.everything(shard),
                keys.by_requester(shard, record.requester),
                *([keys.of_run(shard, record.run_id)] if record.run_id else []),
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

    def indexes_for(self, query: Query) -> list[tuple[int, str]]:
        """Indexes that hold everything asked for; what else is in them `query.matches` tells."""
        if query.run_id:
            shard = keys.shard_for(query.run_id, "", self.shards)
            return [(shard, keys.of_run(shard, query.run_id))]
        return [(shard, _narrowing(shard, query)[0]) for shard in range(self.shards)]

    async def smallest_indexes_for(self, query: Query) -> list[tuple[int, str]]:
        """As `indexes_for`, and of several those that hold the least; a shard that has nothing of it is left out."""
        if query.run_id:
            return self.indexes_for(query)
        candidates = [_narrowing(shard, query) for shard in range(self.shards)]
        pipeline = self._redis.pipeline(transaction=False)
        for index in (index for of_shard in candidates for index in of_shard):
            pipeline.zcard(index)
        sizes = iter(await pipeline.execute())
        smallest = [min((next(sizes), index) for index in of_shard) for of_shard in candidates]
        return [(shard, index) for shard, (size, index) in enumerate(smallest) if size]

    def decided_like(self, record: Record) -> list[tuple[int, str]]:
        """The indexes of what people have decided in the group of a record; none if it has no group."""
        group = record.facts.group
        return [(shard, keys.decided(shard, group)) for shard in range(self.shards)] if group else []

    async def count_pending_like(self, record: Record) -> int:
        """How many approvals of the group of a record are pending; 0 if it has no group."""
        if not record.facts.group:
            return 0
        pipeline = self._redis.pipeline(transaction=False)
        for shard in range(self.shards):
            pipeline.zcard(keys.pending_by(shard, "group", record.facts.group))
        return sum(await pipeline.execute())


def _narrowing(shard: int, query: Query) -> list[str]:
    """The indexes of a shard that each hold everything that is asked for, beside others: at least one."""
    if query.needs_review:
        return [keys.review(shard)]
    found = []
    if query.state is State.PENDING:
        by = {"group": query.group, "level": str(query.level or ""), "type": query.approval_type}
        found += [keys.pending_by(shard, what, value) for what, value in by.items() if value]
    if query.requester is not None:
        found.append(keys.by_requester(shard, query.requester, query.state))
    if query.project_id and query.state is not None:
        found.append(keys.in_project(shard, query.project_id, query.state))
    return found or [keys.everything(shard) if query.state is None else keys.in_state(shard, query.state)]


def _ms(time: tuple[int, int]) -> int:
    seconds, micros = time
    return int(seconds) * 1000 + int(micros) // 1000


def _flat(fields: records.Fields) -> list[str | bytes | int]:
    return [part for pair in fields.items() for part in pair]


def _indexes(shard: int, record: Record) -> list[str]:
    """The indexes that a record is in because of what can change about it."""
    found = [keys.in_state(shard, record.state), keys.by_requester(shard, record.requester, record.state)]
    if record.project_id:
        found.append(keys.in_project(shard, record.project_id, record.state))
    if record.state is State.PENDING:
        facts = record.facts
        by = {"level": str(facts.level or ""), "type": facts.approval_type, "group": facts.group}
        found += [keys.pending_by(shard, what, value) for what, value in by.items() if value]
        if record.run_id:
            found.append(keys.pending_of_run(shard, record.run_id))
    if record.facts.group and record.decision is not None and record.decision.by not in NOBODY:
        found.append(keys.decided(shard, record.facts.group))
    if record.glass is not None and not record.glass.reviewed_by:
        found.append(keys.review(shard))
    return found


def _draft_record(approval_id: str, draft: Draft) -> Record:
    """The record as it will be, but for the times, which the script sets."""
    granted = draft.opening.state is State.APPROVED and draft.attempt > 0
    return Record(
        id=approval_id,
        version=1,
        state=draft.opening.state,
        requester=draft.requester,
        request_id=draft.request_id,
        run_id=draft.run_id,
        step_id=draft.step_id,
        created_ms=0,
        facts=draft.facts,
        project_id=draft.project_id,
        environment=draft.environment,
        agent=draft.agent,
        asked_digest=draft.facts.digest,
        initiators=draft.initiators,
        decision=draft.decision,
        remembered_from=draft.remembered_from,
        attempt=draft.attempt if granted else 0,
        grants=(draft.grant_hash,) if granted else (),
    )


def _create_call(shard: int, record: Record, draft: Draft, max_pending_of_run: int) -> ScriptCall:
    opening = draft.opening
    return ScriptCall(
        _CREATE,
        keys=[
            keys.request(shard, record.request_id),
            keys.approval(shard, record.id),
            keys.due(shard),
            keys.closed(shard),
            keys.journal(shard),
            keys.pending_of_run(shard, record.run_id),
            keys.everything(shard),
            keys.by_requester(shard, record.requester),
            *([keys.of_run(shard, record.run_id)] if record.run_id else []),
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
            max_pending_of_run if record.run_id else 0,
            draft.event(record),
            int(opening.state is State.PENDING),
            *_flat(records.new_fields(record)),
        ],
    )


def _commit_call(change: Change) -> ScriptCall:
    before, after = change.before, change.after
    shard = shard_of(before.id)
    old, new = _indexes(shard, before), _indexes(shard, after)
    leaves = [index for index in old if index not in new]
    revised = after.facts.revision != before.facts.revision
    return ScriptCall(
        _COMMIT,
        keys=[
            keys.approval(shard, before.id),
            keys.due(shard),
            keys.closed(shard),
            keys.journal(shard),
            keys.revisions(shard, before.id),
            *leaves,
            *(index for index in new if index not in old),
        ],
        args=[
            before.version,
            change.before_ms,
            keys.member(before.id),
            due_ms(after),
            int(after.state in CLOSED),
            len(leaves),
            change.event or b"",
            int(change.news),
            before.facts.revision if revised else "",
            *_flat(records.changed_fields(before, after)),
        ],
    )


def _comment(entry: bytes) -> Comment:
    at_ms, _, rest = entry.partition(b" ")
    author, text = orjson.loads(rest)
    return Comment(author, text, int(at_ms))


def _created(answer: list[Any], draft: Draft, record: Record) -> Created:
    what, now_ms, *stored = answer
    if what == _EXISTS:
        return Created(records.decode(dict(zip(stored[::2], stored[1::2], strict=True))), False, now_ms)
    if what == _TOO_MANY:
        return Created(record, False, now_ms, too_many=True)
    opening = draft.opening
    decision = record.decision and dataclasses.replace(record.decision, at_ms=now_ms)
    return Created(
        dataclasses.replace(
            record,
            created_ms=now_ms,
            decide_by_ms=now_ms + opening.decide_within_ms if opening.decide_within_ms else 0,
            escalate_at_ms=now_ms + opening.decide_within_ms // 2 if opening.decide_within_ms else 0,
            use_by_ms=now_ms + opening.use_within_ms if opening.use_within_ms else 0,
            decision=decision,
        ),
        True,
        now_ms,
    )
