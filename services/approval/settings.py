"""Settings of the approval service: the environment, on top of those every service has."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

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

    approval_signing_keys: Path | None = Field(
        None, description="folder of PEM files that grants are signed and verified with; required but in development"
    )

    risk_rule_packs: str = Field(
        "", description="rule packs beside the built-in ones: folders and files, separated by ':' (docs/risk-rules.md)"
    )

    def times(self) -> Times:
        """How long approvals last."""
        decide = self.approval_decide_seconds
        return Times(
            use_ms=max(1, round(self.approval_use_seconds * 1000)),
            decide_ms=None if decide is None else max(1, round(decide * 1000)),
        )
