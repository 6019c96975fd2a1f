"""What a delivery says: plain JSON, or a message for Slack.

Both are made of the delivery's facts, which have secrets masked already, and are bounded: whoever wants all of it reads
the approval.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import orjson

from harness.approval.v1 import approval_pb2
from services.approval.notifications.model import MAX_IDS, REQUESTED, SLACK, TEST, Delivery
from services.approval.record import Record

_TEXT_CHARS = 1_000
# Slack refuses a section over 3,000 characters; escaping makes at most five of one.
_SLACK_CHARS = 500
_SLACK_IDS = 10

_WORDS = {
    REQUESTED: "needs a decision",
    "approved": "was approved",
    "rejected": "was rejected",
    "expired": "expired",
    "escalated": "still needs a decision: half of the time has passed",
    "glass_broken": "was approved by BREAKING THE GLASS; somebody else must review it",
}


def facts_for(event: Mapping[str, Any], record: Record | None, link: str) -> dict[str, Any]:
    """What a delivery says of an entry of the journal and its approval; None where that is gone already.

    `link` is where people see the approval, with `{approval_id}` in it; empty if there is no such place.
    """
    approval_id = event.get("approval_id", "")
    approval: dict[str, Any] = {
        "id": approval_id,
        "state": event.get("state", ""),
        "revision": event.get("revision", 0),
        "requester": event.get("requester", ""),
        "level": str(event.get("level", "")).removeprefix("RISK_LEVEL_").lower(),
        "type": event.get("approval_type", ""),
        "environment": str(event.get("environment", "")).removeprefix("ENVIRONMENT_").lower(),
        "project_id": event.get("project_id", ""),
        "run_id": event.get("run_id", ""),
        "step_id": event.get("step_id", ""),
        "digest": event.get("digest", ""),
        "link": link.replace("{approval_id}", approval_id),
    }
    if record is not None:
        body = approval_pb2.Approval.FromString(record.facts.body)
        approval |= {
            "group": record.facts.group,
            "agent": body.context.agent,
            "reason": clip(body.reason, _TEXT_CHARS),
            "policy_reason": clip(body.policy_reason, _TEXT_CHARS),
            "decide_by": when(record.decide_by_ms),
            "use_by": when(record.use_by_ms),
        }
    facts: dict[str, Any] = {
        "actor": event.get("actor", ""),
        "on_behalf_of": event.get("on_behalf_of", ""),
        "reason": clip(event.get("reason", ""), _TEXT_CHARS),
        "reject_code": str(event.get("reject_code", "")).removeprefix("REJECT_CODE_").lower(),
        "approval": {name: value for name, value in approval.items() if value},
    }
    return {name: value for name, value in facts.items() if value}


def clip(text: str, chars: int) -> str:
    """The text, or its beginning."""
    return text if len(text) <= chars else text[: chars - 1] + "…"


def when(ms: int) -> str:
    """A time in the RFC 3339 form; empty for none."""
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds") if ms else ""


def body_of(delivery: Delivery, form: str) -> bytes:
    """The body of a delivery, the same bytes at every attempt."""
    return orjson.dumps(_slack(delivery) if form == SLACK else _plain(delivery), option=orjson.OPT_SORT_KEYS)


def _plain(delivery: Delivery) -> dict[str, Any]:
    message: dict[str, Any] = {
        "id": delivery.id,
        "event": delivery.event,
        "time": when(delivery.at_ms),
        **delivery.facts,
    }
    if delivery.event != TEST:
        message |= {"count": delivery.count, "approval_ids": list(delivery.approval_ids[:MAX_IDS])}
    return message


def escape(text: str) -> str:
    """Text that Slack shows as it is: no mention, no link, no channel is made of it."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _slack(delivery: Delivery) -> dict[str, Any]:
    if delivery.event == TEST:
        text = "This is a test of Mother-Harness. Approvals will be announced here."
        return {"text": text, "blocks": [_section(text)]}
    facts, approval = delivery.facts, delivery.facts["approval"]
    kind = " ".join(part for part in (approval.get("level", "").upper(), approval.get("type", "request")) if part)
    place = f" in {approval['environment']}" if approval.get("environment") else ""
    many = f"{delivery.count} requests like: " if delivery.count > 1 else ""
    who = facts.get("actor", "")
    by = f" by {who}" if who and delivery.event not in (REQUESTED, "escalated") else ""
    text = clip(
        f"{many}{kind} asked for by {approval.get('requester', 'somebody')}{place} {_WORDS[delivery.event]}{by}",
        _SLACK_CHARS,
    )
    blocks = [_section(text)]
    said = {
        "Why it is wanted": approval.get("reason", ""),
        "Why it is asked" if delivery.event == REQUESTED else "Reason": facts.get("reason", ""),
        "Code": facts.get("reject_code", ""),
    }
    blocks += [_section(f"{title}: {clip(value, _SLACK_CHARS)}") for title, value in said.items() if value]
    if link := approval.get("link"):
        # Outside of ours, the characters that end an address are written as it has them.
        target = link.replace("|", "%7C").replace(">", "%3E").replace("<", "%3C").replace("&", "&amp;")
        blocks.append({"type": "section", "text": {"type": "mrkdwn", "text": f"<{target}|Open the approval>"}})
    ids = ", ".join(delivery.approval_ids[:_SLACK_IDS])
    more = f" and {delivery.count - _SLACK_IDS} more" if delivery.count > _SLACK_IDS else ""
    until = f" · decide by {approval['decide_by']}" if approval.get("decide_by") else ""
    note = escape(f"{ids}{more}{until}")
    blocks.append({"type": "context", "elements": [{"type": "plain_text", "text": note, "emoji": False}]})
    return {"text": escape(text), "blocks": blocks}


def _section(text: str) -> dict[str, Any]:
    """A block of text without any markup."""
    return {"type": "section", "text": {"type": "plain_text", "text": escape(text), "emoji": False}}
