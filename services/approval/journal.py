"""What is written down of everything that happens: one entry a fact, as canonical JSON.

An entry has the field names of `harness.approval.v1.AuditEvent` in its proto3 JSON form (original names, enums by name,
what is empty left out), sorted and without white space, so that the same fact is the same bytes everywhere and its
hash can be computed in any language. The scripts that change an approval append it in the same step; its time is the
Redis time of that step.
"""

from __future__ import annotations

from typing import Any

import orjson

from harness.approval.v1 import audit_pb2, risk_pb2
from services.approval.record import Record

_PREFIX = "AUDIT_EVENT_TYPE_"

# What those who watch approvals are told. The rest is for the audit only.
_PUBLIC = frozenset(
    _PREFIX + name
    for name in (
        *("APPROVAL_REQUESTED", "VOTED", "APPROVED", "REJECTED", "EXPIRED", "WITHDRAWN", "REVISED", "COMMENTED"),
        *("ESCALATED", "GLASS_BROKEN", "GLASS_REVIEWED", "GRANT_REDEEMED"),
    )
)


def fact(kind: str, **fields: Any) -> bytes:
    """An entry of a kind (a name of AuditEventType without its prefix); fields that are empty are left out."""
    # 64-bit integers are strings in proto3 JSON.
    entry = {name: str(value) if name.endswith("_ms") else value for name, value in fields.items() if value}
    entry["type"] = _PREFIX + kind
    return orjson.dumps(entry, option=orjson.OPT_SORT_KEYS)


def about(kind: str, record: Record, **fields: Any) -> bytes:
    """An entry about an approval as it is after what happened."""
    facts = record.facts
    return fact(
        kind,
        **{
            "approval_id": record.id,
            "revision": facts.revision,
            "state": record.state.name.lower(),
            "run_id": record.run_id,
            "step_id": record.step_id,
            "project_id": record.project_id,
            "environment": f"ENVIRONMENT_{record.environment.upper()}" if record.environment else "",
            "requester": record.requester,
            "digest": facts.digest,
            "level": risk_pb2.RiskLevel.Name(risk_pb2.RiskLevel.ValueType(facts.level)) if facts.level else "",
            "approval_type": facts.approval_type,
            **fields,
        },
    )


def is_public(record: Record, kind: str) -> bool:
    """Whether watchers are told: nobody waits for what asked no human."""
    return record.was_asked and _PREFIX + kind in _PUBLIC


def reject_code_name(code: int) -> str:
    """The name of a reject code; empty for none."""
    return audit_pb2.RejectCode.Name(audit_pb2.RejectCode.ValueType(code)) if code else ""
