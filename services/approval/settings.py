"""Settings of the approval service: the environment, on top of those every service has."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from services.approval.audit.sealer import Habits
from services.approval.lifecycle import Times
from services.runtime.settings import ServiceSettings


class ApprovalSettings(ServiceSettings):
    """`HARNESS_APPROVAL_*`, `HARNESS_RISK_*`. Durations are seconds unless the name says otherwise."""

    listen: str = Field("127.0.0.1:50052", description="host:port or unix:/path; port 0 takes a free one")
    approval_shards: int = Field(
        16, ge=1, le=256, description="how many parts the data is split into; never change it once there is data"
    )
    approval_decide_seconds: float | None = Field(
        None, gt=0, description="time to decide, in place of 4 h (LOW), 8 h (MEDIUM) and 24 h (others)"
    )
    approval_use_seconds: float = Field(3600.0, gt=0, description="time to use an approval, from its decision")
    approval_sweep_seconds: float = Field(1.0, gt=0, description="how often to look for what has expired")
    approval_publish_seconds: float = Field(
        1.0, gt=0, description="how often to look for events that a crash left unpublished"
    )
    approval_retention_days: float = Field(
        400.0, gt=0, description="how long closed approvals are kept; pending and approved ones always are"
    )
    approval_events_kept: int = Field(
        100_000, ge=100, description="about how many events a watcher can fall behind and still resume"
    )
    approval_pending_per_run: int = Field(
        1000, ge=0, description="how many approvals of one run may wait for a human; 0 is any number"
    )
    approval_pending_per_requester: int = Field(
        10_000, ge=0, description="how many approvals of one requester may wait for a human; 0 is any number"
    )
    approval_asks_per_minute: int = Field(
        600, ge=0, description="how many requests a minute of one requester may ask a human; 0 is any number"
    )
    approval_link: str = Field(
        "", description="where people see an approval, for notifications: an address with {approval_id} in it"
    )
    approval_webhook_http: bool = Field(False, description="allow http webhooks to other hosts than this one")
    approval_webhook_seconds: float = Field(1.0, gt=0, description="how often to look for what webhooks are to be told")
    approval_webhook_timeout_seconds: float = Field(
        10.0, gt=0, le=60, description="how long one attempt to deliver may take"
    )
    approval_webhook_retry_seconds: float = Field(
        10.0, gt=0, le=3600, description="pause after a first attempt that failed; it doubles, up to an hour"
    )
    approval_webhooks_per_minute: int = Field(
        60, ge=1, description="deliveries a minute to one webhook; what is more waits, and gathers"
    )
    approval_gather_seconds: float = Field(
        30.0, ge=0, description="how long similar requests are gathered into one notification; 0 is not at all"
    )
    approval_dead_letter_days: float = Field(14.0, gt=0, description="how long deliveries that were given up are kept")

    approval_signing_keys: Path | None = Field(
        None, description="folder of PEM files that grants are signed and verified with; required but in development"
    )

    approval_audit_seal_seconds: float = Field(
        1.0, gt=0, description="how often what happened is sealed into the audit trail"
    )
    approval_audit_checkpoint_records: int = Field(
        1000, ge=1, description="sign a checkpoint of the audit trail after so many records of a shard"
    )
    approval_audit_checkpoint_seconds: float = Field(
        60.0, gt=0, description="or after so long, when there is a new record"
    )
    approval_audit_retention_days: float = Field(
        730.0, ge=0, description="how long records of the audit trail are kept; 0 is for ever"
    )

    risk_rule_packs: str = Field(
        "", description="rule packs beside the built-in ones: folders and files, separated by ':' (docs/risk-rules.md)"
    )

    def audit_habits(self) -> Habits:
        """How the audit trail is kept."""
        return Habits(
            every_seconds=self.approval_audit_seal_seconds,
            checkpoint_records=self.approval_audit_checkpoint_records,
            checkpoint_ms=round(self.approval_audit_checkpoint_seconds * 1000),
            retention_ms=round(self.approval_audit_retention_days * 86_400_000),
        )

    def times(self) -> Times:
        """How long approvals last."""
        decide = self.approval_decide_seconds
        return Times(
            use_ms=max(1, round(self.approval_use_seconds * 1000)),
            decide_ms=None if decide is None else max(1, round(decide * 1000)),
        )
