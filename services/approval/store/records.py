"""An approval as a Redis hash.

Fields: id, version, state, requester, request_id, run_id, step_id, digest, created_ms, body; where they apply
decide_by_ms, use_by_ms, decided_approved ("1"/"0"), decided_by, decided_reason, decided_ms, attempt, and grants (hex
SHA-256 of each secret, space-separated).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from services.approval.lifecycle import Change, Decision, Record, State

Fields = dict[str, str | bytes | int]

# Everything but the body, which can be large: what transitions are decided on.
SMALL_FIELDS = (
    *("id", "version", "state", "requester", "request_id", "run_id", "step_id", "digest", "created_ms"),
    *("decide_by_ms", "use_by_ms", "decided_approved", "decided_by", "decided_reason", "decided_ms"),
    *("attempt", "grants"),
)


def decode_small(values: Sequence[bytes | None]) -> Record | None:
    """Read the answer to HMGET of SMALL_FIELDS; None if there is no such approval. The body is left empty."""
    fields = {name.encode(): value for name, value in zip(SMALL_FIELDS, values, strict=True) if value is not None}
    return decode(fields | {b"body": b""}) if fields else None


def decode(fields: Mapping[bytes, bytes]) -> Record:
    """Read a stored approval."""

    def text(name: bytes) -> str:
        return fields.get(name, b"").decode()

    def number(name: bytes) -> int:
        return int(fields.get(name, b"0"))

    decision = None
    if b"decided_ms" in fields:
        decision = Decision(
            approved=number(b"decided_approved") == 1,
            by=text(b"decided_by"),
            reason=text(b"decided_reason"),
            at_ms=number(b"decided_ms"),
        )
    return Record(
        id=text(b"id"),
        version=number(b"version"),
        state=State(number(b"state")),
        requester=text(b"requester"),
        request_id=text(b"request_id"),
        run_id=text(b"run_id"),
        step_id=text(b"step_id"),
        digest=text(b"digest"),
        created_ms=number(b"created_ms"),
        body=fields[b"body"],
        decide_by_ms=number(b"decide_by_ms"),
        use_by_ms=number(b"use_by_ms"),
        decision=decision,
        attempt=number(b"attempt"),
        grants=tuple(text(b"grants").split()),
    )


def encode_decision(decision: Decision) -> Fields:
    """The fields of a decision, all but its time."""
    return {
        "decided_approved": int(decision.approved),
        "decided_by": decision.by,
        "decided_reason": decision.reason,
    }


def encode_grants(attempt: int, grants: tuple[str, ...]) -> Fields:
    """The fields of the grants that hold."""
    return {"attempt": attempt, "grants": " ".join(grants)}


def encode_change(change: Change) -> Fields:
    """The fields that a change sets; the script counts the version."""
    fields: Fields = {"state": int(change.state)}
    if change.decision is not None:
        fields |= encode_decision(change.decision)
        fields["decided_ms"] = change.decision.at_ms
    if change.use_by_ms is not None:
        fields["use_by_ms"] = change.use_by_ms
    if change.attempt is not None and change.grants is not None:
        fields |= encode_grants(change.attempt, change.grants)
    return fields
