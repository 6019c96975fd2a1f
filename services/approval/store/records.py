"""An approval as a Redis hash.

Fields, absent where they are empty: id, version, state, requester, request_id, run_id, step_id, created_ms, project_id,
environment, agent, asked_digest, initiators (JSON list), decide_by_ms, escalate_at_ms, escalated_ms, use_by_ms, votes
(JSON list of [voter, approved, reason, ms, seats, on behalf of, scope, until]), decided_approved ("1"/"0"), decided_by,
decided_reason, decided_ms, decided_code, glass (JSON object), remembered_from, attempt, grants (space-separated),
comments; and of the revision digest, body, revision, level, score, approval_type, factor_ids (space-separated), group,
quorum (JSON list of [role, group, count]), use_within_ms, policy_rule, policy_etag, memorable ("1").
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from services.approval.quorum import DEFAULT_QUORUM, Seat, Vote
from services.approval.record import Decision, Facts, Glass, Record, State

Fields = dict[str, str | bytes | int]

# Everything but the body, which can be large: what transitions are decided on.
SMALL_FIELDS = (
    *("id", "version", "state", "requester", "request_id", "run_id", "step_id", "created_ms", "project_id"),
    *("environment", "initiators", "decide_by_ms", "escalate_at_ms", "escalated_ms", "use_by_ms", "votes"),
    *("decided_approved", "decided_by", "decided_reason", "decided_ms", "decided_code", "glass", "remembered_from"),
    *("attempt", "grants", "comments", "digest", "revision", "level", "score", "approval_type", "factor_ids"),
    *("group", "quorum", "use_within_ms", "policy_rule", "policy_etag", "memorable", "agent", "asked_digest"),
)


def decode_small(values: Sequence[bytes | None]) -> Record | None:
    """Read the answer to HMGET of SMALL_FIELDS; None if there is no such approval. The body is left empty."""
    fields = {name.encode(): value for name, value in zip(SMALL_FIELDS, values, strict=True) if value is not None}
    return decode(fields) if fields else None


def decode(fields: Mapping[bytes, bytes]) -> Record:
    """Read a stored approval."""

    def text(name: bytes) -> str:
        return fields.get(name, b"").decode()

    def number(name: bytes) -> int:
        return int(fields.get(name, b"0") or b"0")

    def parsed(name: bytes) -> Any:
        value = fields.get(name, b"")
        return orjson.loads(value) if value else None

    decision = None
    if number(b"decided_ms"):
        decision = Decision(
            approved=number(b"decided_approved") == 1,
            by=text(b"decided_by"),
            reason=text(b"decided_reason"),
            at_ms=number(b"decided_ms"),
            reject_code=number(b"decided_code"),
        )
    quorum, glass = parsed(b"quorum"), parsed(b"glass")
    return Record(
        id=text(b"id"),
        version=number(b"version"),
        state=State(number(b"state")),
        requester=text(b"requester"),
        request_id=text(b"request_id"),
        run_id=text(b"run_id"),
        step_id=text(b"step_id"),
        created_ms=number(b"created_ms"),
        facts=Facts(
            digest=text(b"digest"),
            body=fields.get(b"body", b""),
            revision=number(b"revision") or 1,
            level=number(b"level"),
            score=number(b"score"),
            approval_type=text(b"approval_type"),
            factor_ids=tuple(text(b"factor_ids").split()),
            group=text(b"group"),
            quorum=DEFAULT_QUORUM if quorum is None else tuple(Seat(*seat) for seat in quorum),
            use_within_ms=number(b"use_within_ms"),
            policy_rule=text(b"policy_rule"),
            policy_etag=text(b"policy_etag"),
            memorable=number(b"memorable") == 1,
        ),
        project_id=text(b"project_id"),
        environment=text(b"environment"),
        agent=text(b"agent"),
        asked_digest=text(b"asked_digest") or text(b"digest"),
        initiators=tuple(parsed(b"initiators") or ()),
        decide_by_ms=number(b"decide_by_ms"),
        escalate_at_ms=number(b"escalate_at_ms"),
        escalated_ms=number(b"escalated_ms"),
        use_by_ms=number(b"use_by_ms"),
        votes=tuple(_vote(*cast) for cast in parsed(b"votes") or ()),
        decision=decision,
        glass=None if glass is None else Glass(**glass),
        remembered_from=text(b"remembered_from"),
        attempt=number(b"attempt"),
        grants=tuple(text(b"grants").split()),
        comments=number(b"comments"),
    )


def _vote(
    voter: str, approved: bool, reason: str, at_ms: int, seats: list[int], on_behalf_of: str = "", *rest: int
) -> Vote:
    return Vote(voter, approved, reason, at_ms, tuple(seats), on_behalf_of, *rest)


def encode(record: Record) -> Fields:
    """All fields of an approval but those the scripts set: created_ms and comments."""
    facts, decision = record.facts, record.decision
    return {
        "id": record.id,
        "version": record.version,
        "state": int(record.state),
        "requester": record.requester,
        "request_id": record.request_id,
        "run_id": record.run_id,
        "step_id": record.step_id,
        "project_id": record.project_id,
        "environment": record.environment,
        "agent": record.agent,
        "asked_digest": record.asked_digest,
        "initiators": orjson.dumps(record.initiators) if record.initiators else "",
        "decide_by_ms": record.decide_by_ms,
        "escalate_at_ms": record.escalate_at_ms,
        "escalated_ms": record.escalated_ms,
        "use_by_ms": record.use_by_ms,
        "votes": orjson.dumps([dataclasses.astuple(cast) for cast in record.votes]) if record.votes else "",
        "decided_approved": int(decision.approved) if decision else "",
        "decided_by": decision.by if decision else "",
        "decided_reason": decision.reason if decision else "",
        "decided_ms": decision.at_ms if decision else 0,
        "decided_code": decision.reject_code if decision else 0,
        "glass": orjson.dumps(dataclasses.asdict(record.glass)) if record.glass else "",
        "remembered_from": record.remembered_from,
        "attempt": record.attempt,
        "grants": " ".join(record.grants),
        "digest": facts.digest,
        "body": facts.body,
        "revision": facts.revision,
        "level": facts.level,
        "score": facts.score,
        "approval_type": facts.approval_type,
        "factor_ids": " ".join(facts.factor_ids),
        "group": facts.group,
        "quorum": ""
        if facts.quorum == DEFAULT_QUORUM
        else orjson.dumps([dataclasses.astuple(s) for s in facts.quorum]),
        "use_within_ms": facts.use_within_ms,
        "policy_rule": facts.policy_rule,
        "policy_etag": facts.policy_etag,
        "memorable": int(facts.memorable),
    }


def new_fields(record: Record) -> Fields:
    """What is stored of a new approval: its fields that are not empty."""
    return {name: value for name, value in encode(record).items() if value not in ("", b"", 0)}


def changed_fields(before: Record, after: Record) -> Fields:
    """The fields that a change sets; the script counts the version.

    A body that was not loaded stays as it is, for a change that replaces it is decided on the whole record.
    """
    old = encode(before)
    return {name: value for name, value in encode(after).items() if old[name] != value and name != "version"}
