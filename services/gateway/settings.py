"""Settings of the gateway, beside those that every service has.

It verifies no token: the services do. So none of the `jwt_*` settings matters here.
"""

from __future__ import annotations

from pydantic import Field

from services.runtime.settings import ServiceSettings


class GatewaySettings(ServiceSettings):
    """`HARNESS_` and the upper-case field name is the variable."""

    listen: str = Field("127.0.0.1:8000", description="host:port or unix:/path; port 0 takes a free one")
    default_timeout_seconds: float = Field(
        75.0, gt=0, description="deadline of a unary call without a Grpc-Timeout header; the longest long poll is 60 s"
    )
    orchestrator_address: str = Field("127.0.0.1:50051", description="where the orchestrator listens")
    approval_address: str = Field("127.0.0.1:50052", description="where the approval service listens")
    backup_address: str = Field("127.0.0.1:50053", description="where the backup service listens")

    gateway_max_header_bytes: int = Field(
        16 * 1024, ge=1024, description="of a request's target and headers; what gRPC takes of them as metadata"
    )
    gateway_max_body_bytes: int = Field(
        6 * 1024 * 1024, ge=1024, description="of a request, unpacked; base64 takes a third more than what it holds"
    )
    gateway_header_timeout_seconds: float = Field(
        10.0, gt=0, description="how long a client may take to send its request line and headers"
    )
    gateway_body_timeout_seconds: float = Field(30.0, gt=0, description="how long a client may take to send a body")
    gateway_write_timeout_seconds: float = Field(
        60.0, gt=0, description="how long a client may take nothing of its answer before it is cut off"
    )
    gateway_idle_timeout_seconds: int = Field(
        60, ge=1, description="how long a connection may wait for its next request"
    )
    gateway_max_connections: int = Field(4096, ge=1, description="more are closed at once")
    gateway_max_streams: int = Field(2048, ge=0, description="streams at the same time; more are answered with 429")
    gateway_heartbeat_seconds: float = Field(
        15.0, gt=0, description="a comment this often keeps an idle event stream open through proxies"
    )
    gateway_event_grace_seconds: float = Field(
        1.0, gt=0, description="an event stream without events begins after this; an error before it has a status"
    )
    gateway_documents: bool = Field(True, description="serve Swagger UI and the OpenAPI documents, to anybody")
    gateway_cors_origins: list[str] = Field(
        default_factory=list, description='JSON list of origins whose pages may call, or ["*"]; none by default'
    )

    @property
    def upstreams(self) -> dict[str, str]:
        """The address of each service, by the name that its proto packages carry: `harness.<name>.v1`."""
        return {
            "orchestrator": self.orchestrator_address,
            "approval": self.approval_address,
            "backup": self.backup_address,
        }
