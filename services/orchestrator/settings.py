"""Settings of the orchestrator, beside those that every service has."""

from __future__ import annotations

from pydantic import Field

from services.runtime.ids import MAX_SHARDS
from services.runtime.settings import ServiceSettings


class OrchestratorSettings(ServiceSettings):
    """`HARNESS_` and the upper-case field name is the variable."""

    listen: str = Field("127.0.0.1:50051", description="host:port or unix:/path; port 0 takes a free one")
    approval_address: str = Field("127.0.0.1:50052", description="where the approval service listens")
    shards: int = Field(
        16, ge=1, le=MAX_SHARDS, description="parts the data is split into; it can grow, and must never shrink"
    )
    lease_seconds: float = Field(
        30.0, ge=1, le=3600, description="how long a worker holds a step without a heartbeat before another gets it"
    )
    run_retention_days: float = Field(
        90.0, gt=0, description="how long a run and its history are kept after it ended; open runs always are"
    )
