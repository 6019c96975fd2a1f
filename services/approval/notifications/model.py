"""Webhooks and deliveries as plain data, and which webhook is told of what."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

PLAIN, SLACK = "plain", "slack"
"""The formats of `harness.approval.v1.WebhookFormat`."""

REQUESTED = "approval_requested"
TEST = "test"

EVENTS = {
    "AUDIT_EVENT_TYPE_APPROVAL_REQUESTED": REQUESTED,
    "AUDIT_EVENT_TYPE_APPROVED": "approved",
    "AUDIT_EVENT_TYPE_REJECTED": "rejected",
    "AUDIT_EVENT_TYPE_EXPIRED": "expired",
    "AUDIT_EVENT_TYPE_ESCALATED": "escalated",
    "AUDIT_EVENT_TYPE_GLASS_BROKEN": "glass_broken",
}
"""What webhooks can be told, by the type of the journal's entry."""

MAX_WEBHOOKS = 32
"""Each costs a look into every shard a second."""

MAX_IDS = 20
"""Approvals that one delivery names."""


@dataclass(frozen=True, slots=True)
class Webhook:
    """A place that is told what happens. `events` and `project_ids` of none mean all.

    Deliveries are signed with `secret`, and until `previous_until_ms` with `previous_secret` too.
    """

    id: str
    url: str = field(repr=False)
    format: str
    secret: str = field(repr=False)
    name: str = ""
    events: tuple[str, ...] = ()
    project_ids: tuple[str, ...] = ()
    enabled: bool = True
    version: int = 1
    previous_secret: str = field(default="", repr=False)
    previous_until_ms: int = 0
    created_by: str = ""
    created_ms: int = 0
    updated_by: str = ""
    updated_ms: int = 0

    def wants(self, event: str, project_id: str, at_ms: int) -> bool:
        """Whether it is told of an event that happened at a time."""
        return (
            self.enabled
            and at_ms >= self.created_ms
            and (not self.events or event in self.events)
            and (not self.project_ids or project_id in self.project_ids)
        )

    def secrets(self, now_ms: int) -> list[str]:
        """What to sign with now, the newest first."""
        return [self.secret, *([self.previous_secret] if now_ms < self.previous_until_ms else [])]


@dataclass(frozen=True, slots=True)
class Delivery:
    """One thing that one webhook is to be told. `facts` is what its body is made of, the same at every attempt.

    `approval_ids` are at most MAX_IDS of `count`. `attempts` counts those that were begun.
    """

    id: str
    webhook_id: str
    event: str
    at_ms: int
    facts: dict[str, Any]
    approval_ids: tuple[str, ...] = ()
    count: int = 1
    attempts: int = 0
    last_status: int = 0
    last_error: str = ""
    dead_ms: int = 0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one attempt: the HTTP status (0: no answer), and why it was not taken (empty: it was).

    `retry_after_seconds` is what the receiver asked for, None if it did not.
    """

    status: int
    error: str = ""
    retry_after_seconds: float | None = None

    @property
    def delivered(self) -> bool:
        return not self.error
